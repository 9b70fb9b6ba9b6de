"""Benchmark of a backfill by its number of dates and by the amount of history."""
