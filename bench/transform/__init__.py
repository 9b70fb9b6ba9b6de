"""Benchmark of a transform by the number of stale dates and by the amount of history."""
