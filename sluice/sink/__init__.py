"""The sink: the consumer group that writes raw events to the lake, each offset exactly once."""

HALTED_PATH = "/halted"
"""Where the sink tells which partitions are not read, and why. It is healthy all the same: the others go on."""
