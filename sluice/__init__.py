"""Sluice: real events stream into a lake; beside the stream, batches go to a warehouse, and are proved right."""
