"""An event is lost if a later one of its partition was written, and doubled for each row beyond its first."""

import re

import numpy as np
import pytest

from bench.sink.events import events, numbers, offsets
from bench.sink.written import lost_and_doubled

PARTITIONS = 4
DIGITS = [int(re.findall(r"T([0-9a-f]{6})$", key.decode())[0], 16) for key, _, _ in events(1_000, 24, ordered=False)]


def test_ids_tell_where_an_event_was_sent() -> None:
    assert numbers(np.array(DIGITS)).tolist() == list(range(1_000))
    partition, offset = offsets(np.arange(1_000), PARTITIONS)
    counts = [0] * PARTITIONS
    for number in range(1_000):
        own = number // 24 % PARTITIONS
        assert (partition[number], offset[number]) == (own, counts[own])
        counts[own] += 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (DIGITS, (0, 0)),
        (DIGITS[:500], (0, 0)),
        ([], (0, 0)),
        (DIGITS[:10] + DIGITS[15:], (5, 0)),
        (DIGITS + DIGITS[:7], (0, 7)),
        (DIGITS[:96] + DIGITS[100:] + DIGITS[20:30] * 2, (4, 20)),
    ],
    ids=["all", "a part", "nothing", "a hole", "repeated", "both"],
)
def test_holes_are_lost_and_repeated_rows_are_doubled(rows: list[int], expected: tuple[int, int]) -> None:
    written = numbers(np.array(rows, np.int64))
    assert lost_and_doubled(written, PARTITIONS) == expected
