"""The sink: the consumer group that writes raw events to the lake, each offset exactly once."""

HEALTHY = "ok"
"""What ``/health`` answers if nothing needs attention."""
