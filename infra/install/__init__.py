"""What the platform needs of a machine, and what it installs."""
