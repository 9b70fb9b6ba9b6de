"""The freshness of a record: the first look that finds it counts, and percentiles are values that occurred."""

import pytest

from bench.freshness.sample import Progress, Sample, percentiles

KEY = ("flights.departed", 1)


def test_a_record_can_be_read_from_the_first_look_that_is_beyond_it() -> None:
    progress = Progress()
    for moment, next_offset in ((10.0, 0), (11.0, 5), (12.0, 5), (13.0, 9)):
        progress.add(moment, {KEY: next_offset})
    readable = [progress.readable_at(Sample(*KEY, offset, 9.5, None)) for offset in (0, 4, 5, 8)]
    assert readable == [11.0, 11.0, 13.0, 13.0]
    assert progress.has_all({KEY: 9})
    assert not progress.has_all({KEY: 10})
    assert not progress.has_all({("weather.observed", 0): 1})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0], [1.0, 1.0, 1.0]),
        ([4.0, 1.0, 3.0, 2.0], [2.0, 4.0, 4.0]),
        ([float(n) for n in range(1, 101)], [50, 95, 99]),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], expected: list[float]
) -> None:
    assert percentiles(values, (0.5, 0.95, 0.99)) == expected
