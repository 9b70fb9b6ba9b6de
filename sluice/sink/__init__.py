"""The sink: the consumer group that writes raw events to the lake, each offset exactly once."""
