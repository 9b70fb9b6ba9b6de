"""The name of the sinks' consumer group, and where to learn it."""

SINK_GROUP_METRIC = "sluice_sink_group"
"""The sink's info metric whose label ``group`` is its consumer group."""
SINK_GROUPS = "sluice-sink-"
"""What the names of all sinks' groups begin with."""


def sink_group(bucket: str, lake_id: str) -> str:
    """Returns the consumer group of one lake's sinks; sinks of other lakes read every record themselves."""
    return f"{SINK_GROUPS}{bucket}-{lake_id}"
