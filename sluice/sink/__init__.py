"""The sink: the consumer group that lands raw events in the lake, each offset exactly once."""
