"""The lake: one Delta table per stream, with the unchanged bytes of every Kafka record."""
