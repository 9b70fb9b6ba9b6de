"""The range of event dates that a backfill may ask for."""

from datetime import date

import pytest

from sluice.errors import TerminalError
from sluice.orchestration.history import event_range


def test_a_range_includes_both_ends_and_may_be_one_date() -> None:
    assert event_range("2013-01-01", "2014-01-01") == (date(2013, 1, 1), date(2014, 1, 1))
    assert event_range("2013-05-06", "2013-05-06") == (date(2013, 5, 6), date(2013, 5, 6))


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2013-02-30", "2013-03-01", ("FROM=2013-02-30", "no date")),
        ("2013-02-01", "soon", ("TO=soon", "no date")),
        ("2012-12-31", "2013-03-01", ("FROM=2012-12-31", "2013-01-01 to 2014-01-01")),
        ("2013-02-01", "2014-01-02", ("TO=2014-01-02", "outside")),
        ("2013-02-02", "2013-02-01", ("FROM=2013-02-02", "after TO=2013-02-01")),
    ],
)
def test_a_wrong_range_is_one_line_that_names_its_end(first: str, last: str, words: tuple[str, ...]) -> None:
    with pytest.raises(TerminalError) as caught:
        event_range(first, last)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)
