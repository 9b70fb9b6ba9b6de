from collections import Counter
from typing import Any

from producers.playback import report


def test_the_report_adds_up(recording_delivery: Any) -> None:
    delivery = recording_delivery()
    delivery.confirmed = Counter({("a", ""): 10, ("a", "late"): 1, ("b", "duplicate"): 2})
    assert [line.split() for line in report(delivery, ("a", "b"), 2.0)] == [
        ["a", "11", "confirmed"],
        ["b", "2", "confirmed"],
        ["faults", "injected", "1", "late,", "2", "duplicate,", "0", "corrupt,", "0", "invalid"],
        ["total", "13", "confirmed", "in", "2.0", "s,", "6/s"],
    ]
