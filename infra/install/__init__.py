"""The prerequisites that the platform checks on a machine, and the software that it installs."""
