"""The settings file and the ports of a platform."""
