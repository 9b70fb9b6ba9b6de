"""Benchmark of the sink against alternatives, on one machine and in one run."""
