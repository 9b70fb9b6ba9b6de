"""What is measured: each a program that loads the same events once."""
