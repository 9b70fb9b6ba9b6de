"""Kafka producers: a generic part that paces, delivers and injects faults, and one package per data set."""
