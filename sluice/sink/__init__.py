"""The sink: the consumer group that writes raw events to the lake, each offset exactly once."""

HALTED_PATH = "/halted"
"""The path at which the sink reports halted partitions and their causes. It stays healthy, and reads the others."""
