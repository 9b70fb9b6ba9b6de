"""Sluice: a data platform that streams events into a lake, loads them into a warehouse, and verifies both."""
