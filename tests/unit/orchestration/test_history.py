"""The range of event dates that a backfill accepts."""

from datetime import UTC, date, datetime, timedelta

import pytest

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.orchestration.history import default_range, event_range, has_ended, history, reprocess_scope
from sluice.settings import ROOT

TODAY = datetime.now(UTC).date()
CONTRACTS = load_contracts(ROOT / "contracts").values()


def test_a_range_includes_both_ends_and_may_be_one_date() -> None:
    assert event_range(CONTRACTS, "2013-01-01", "2014-01-01") == (date(2013, 1, 1), date(2014, 1, 1))
    assert event_range(CONTRACTS, "2013-05-06", "2013-05-06") == (date(2013, 5, 6), date(2013, 5, 6))


def test_the_contracts_limit_the_range() -> None:
    assert history(CONTRACTS) == (date(2013, 1, 1), date(2014, 1, 1))
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    assert history([*CONTRACTS, ongoing]) == (date(1900, 1, 1), None)
    tomorrow = TODAY + timedelta(days=1)
    assert event_range([*CONTRACTS, ongoing], "1999-12-31", str(tomorrow)) == (date(1999, 12, 31), tomorrow)
    # Any date that the event time can have.
    with pytest.raises(TerminalError, match=f"FROM=1899-12-31 .* choose from 1900-01-01 to {tomorrow}"):
        event_range([ongoing], "1899-12-31", str(TODAY))
    with pytest.raises(TerminalError, match=f"choose from 1900-01-01 to {tomorrow}"):
        event_range([ongoing], "1999-12-31", str(tomorrow + timedelta(days=1)))


def test_a_range_without_an_end_takes_that_of_the_loaded_dates() -> None:
    loaded = (date(2013, 3, 1), date(2013, 3, 9))
    assert default_range(CONTRACTS, loaded, "", "") == loaded
    assert default_range(CONTRACTS, loaded, "2013-03-05", "") == (date(2013, 3, 5), loaded[1])
    assert default_range(CONTRACTS, loaded, "", "2013-03-05") == (loaded[0], date(2013, 3, 5))
    # Loaded dates outside the history are of no use.
    outside = (date(2012, 1, 1), date(2013, 3, 9))
    assert default_range(CONTRACTS, outside, "", "") == (date(2013, 1, 1), loaded[1])
    with pytest.raises(TerminalError, match=r"the warehouse has no date of flights\.arrived.* Hint: give FROM and TO"):
        default_range(CONTRACTS, None, "", "")
    with pytest.raises(TerminalError, match="no date of"):
        default_range(CONTRACTS, (date(2012, 1, 1), date(2012, 12, 31)), "", "")
    with pytest.raises(TerminalError, match="FROM=2013-03-10 is after TO=2013-03-09"):
        default_range(CONTRACTS, loaded, "2013-03-10", "")


def test_a_long_range_has_to_be_given() -> None:
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    with pytest.raises(TerminalError, match=r"from 1950-01-01 to 2013-01-01, which are 23,012 runs\. Hint: give FROM"):
        default_range([ongoing], (date(1950, 1, 1), date(2013, 1, 1)), "", "")


def test_a_date_has_ended_when_it_is_over_in_utc() -> None:
    assert has_ended(TODAY - timedelta(days=1))
    assert not has_ended(TODAY)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2013-02-30", "2013-03-01", ("FROM=2013-02-30", "is not a date")),
        ("2013-02-01", "soon", ("TO=soon", "is not a date")),
        ("2012-12-31", "2013-03-01", ("FROM=2012-12-31", "2013-01-01 to 2014-01-01")),
        ("2013-02-01", "2014-01-02", ("TO=2014-01-02", "outside")),
        ("2013-02-02", "2013-02-01", ("FROM=2013-02-02", "after TO=2013-02-01")),
    ],
)
def test_an_invalid_range_is_an_error_of_one_line_that_names_the_end(
    first: str, last: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(TerminalError) as caught:
        event_range(CONTRACTS, first, last)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_an_unknown_scope_is_an_error() -> None:
    assert reprocess_scope("marts") == "marts"
    with pytest.raises(TerminalError, match="WHAT=most is unknown"):
        reprocess_scope("most")
