"""Keeps the servers running: the supervisor and the platform it supervises."""
