"""Streams whose contract was removed: what they leave behind, and how it is dropped."""
