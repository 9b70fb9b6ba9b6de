"""Runs the real servers without containers: installs, configures, starts, supervises, measures and stops them."""
