"""What programs have: a clean stop, for themselves and what they start, and a page with health and metrics."""
