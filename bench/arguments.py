"""The arguments that benchmarks share."""

import sys

MIN_EVENTS, MAX_EVENTS = 1_000, 100_000_000


def event_count(text: str) -> int:
    """Returns the number of events that a benchmark sends; ends the program with one line if it is out of range."""
    if not (text.isascii() and text.isdigit() and MIN_EVENTS <= int(text[:12]) <= MAX_EVENTS):
        sys.exit(f"sluice: EVENTS={text} is out of range. Hint: give a number from {MIN_EVENTS:,} to {MAX_EVENTS:,}.")
    return int(text)
