"""Benchmark of the load against alternatives, on one machine and in one run."""
