"""The lake: one Delta table per stream, holding every Kafka record's bytes as they came."""
