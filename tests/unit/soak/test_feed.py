"""The soak's input follows from its seed, and covers the year in order."""

from datetime import date, timedelta
from itertools import pairwise

from tests.soak.feed import slices


def test_the_same_seed_has_the_same_input_and_another_seed_has_other_faults() -> None:
    assert slices(1, 3600) == slices(1, 3600)
    assert [part.seed for part in slices(1, 3600)] != [part.seed for part in slices(2, 3600)]


def test_slices_follow_each_other_without_a_gap_and_the_year_begins_again() -> None:
    found = slices(1, 2 * 3600)
    assert found[0].first == date(2013, 1, 1)
    for before, after in pairwise(found):
        follows = before.last + timedelta(days=1)
        assert after.first == (follows if follows.year == 2013 else date(2013, 1, 1))
    assert max(part.last for part in found) == date(2013, 12, 31)


def test_a_slice_begins_every_minute() -> None:
    assert [part.moment for part in slices(1, 150)] == [0, 60, 120]
