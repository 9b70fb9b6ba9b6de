"""What every long-lived program has: a clean stop, and a page with its health and metrics."""
