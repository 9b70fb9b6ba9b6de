"""The benchmark of freshness: how long an acknowledged record takes to each place where it can be read."""
