"""Processes, commands and steps: the building blocks of everything that runs servers."""
