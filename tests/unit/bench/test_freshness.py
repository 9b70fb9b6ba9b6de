"""The freshness of a record: the first look that finds it counts, and percentiles are values that occurred."""

import pytest

from bench.freshness.sample import Progress, Sample, distribution, percentiles

KEY = ("flights.departed", 1)


def test_a_record_can_be_read_from_the_first_look_that_is_beyond_it() -> None:
    progress = Progress()
    for moment, next_offset in ((10.0, 0), (11.0, 5), (12.0, 5), (13.0, 9)):
        progress.add(moment, {KEY: next_offset})
    readable = [progress.readable_at(Sample(*KEY, offset, 9.5, None)) for offset in (0, 4, 5, 8)]
    assert readable == [11.0, 11.0, 13.0, 13.0]
    assert progress.has_all({KEY: 9})
    assert not progress.has_all({KEY: 10})
    assert not progress.has_all({("flights.departed", 0): 1, KEY: 9})


def test_a_place_is_not_expected_to_have_a_stream_that_it_does_not_read() -> None:
    progress = Progress()
    assert not progress.has_all({KEY: 9}), "nothing was seen there yet"
    progress.add(10.0, {KEY: 9})
    assert progress.has_all({KEY: 9, ("weather.observed", 0): 1})
    assert not progress.reads("weather.observed")


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


def test_a_distribution_has_the_same_percentiles_as_its_samples() -> None:
    values = [float(n) for n in range(1, 14_001)]
    found = distribution(values)
    assert found["samples"] == 14_000
    assert percentiles(found["delays"], (0.5, 0.95, 0.99)) == percentiles(values, (0.5, 0.95, 0.99))
