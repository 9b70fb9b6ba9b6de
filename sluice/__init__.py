"""Sluice: real events stream through Kafka into a lake; beside the stream, batches go to a warehouse that is proved right."""
