"""Kafka: topics, their offsets, and the settings that all consumer groups share."""
