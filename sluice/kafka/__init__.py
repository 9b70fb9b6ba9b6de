"""Kafka: topics, their offsets, and the settings shared by all consumer groups."""
