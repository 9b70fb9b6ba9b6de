"""Processes, commands and steps: what everything else that runs servers is built from."""
