"""The range of event dates that a backfill accepts."""

from datetime import UTC, date, datetime, timedelta

import pytest

from sluice.contracts import load_contracts
from sluice.contracts.model import Years
from sluice.errors import TerminalError
from sluice.orchestration.history import (
    MAX_OPEN_DATES,
    default_range,
    event_range,
    has_ended,
    history,
    reprocess_scope,
)
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
    next_year = TODAY + timedelta(days=MAX_OPEN_DATES - 1)
    assert event_range([*CONTRACTS, ongoing], "1999-12-31", str(next_year)) == (date(1999, 12, 31), next_year)
    assert event_range([ongoing], "2198-12-31", "2199-12-31") == (date(2198, 12, 31), date(2199, 12, 31))
    # Any date that the event time can have.
    with pytest.raises(TerminalError, match=r"FROM=1899-12-31 .* choose from 1900-01-01 to 2199-12-31"):
        event_range([ongoing], "1899-12-31", str(TODAY))
    with pytest.raises(TerminalError, match=r"TO=2200-01-01 .* choose from 1900-01-01 to 2199-12-31"):
        event_range([ongoing], "2199-12-01", "2200-01-01")


@pytest.mark.parametrize(
    ("years", "last"), [(None, "2199-12-31"), ((1970, 2030), "2030-12-31"), ((1, 9999), "9998-12-31")]
)
def test_the_last_date_is_that_of_the_event_time(years: tuple[int, int] | None, last: str) -> None:
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    limits = Years(first=years[0], last=years[1]) if years else None
    columns = tuple(column.model_copy(update={"years": limits}) for column in ongoing.columns)
    assert event_range([ongoing.model_copy(update={"columns": columns})], last, last)[1] == date.fromisoformat(last)
    with pytest.raises(TerminalError, match=f"to {last}"):
        event_range([ongoing.model_copy(update={"columns": columns})], last, "9999-12-31")
    by_record = ongoing.model_copy(update={"event_time": "record"})
    assert event_range([by_record], "2199-12-31", "2199-12-31")[1] == date(2199, 12, 31)


def test_dates_that_are_not_over_are_limited_since_airflow_backfills_none_of_them() -> None:
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    too_far = TODAY + timedelta(days=MAX_OPEN_DATES)
    with pytest.raises(TerminalError, match=r"367 dates from FROM=.* are not over yet: .*choose at most 366 of them"):
        event_range([ongoing], "2013-01-01", str(too_far))
    assert event_range([ongoing], str(TODAY + timedelta(days=1)), str(too_far))[1] == too_far


def test_a_range_without_an_end_takes_that_of_the_loaded_dates() -> None:
    loaded = (date(2013, 3, 1), date(2013, 3, 9))
    assert default_range(CONTRACTS, loaded, "", "") == loaded
    assert default_range(CONTRACTS, loaded, "2013-03-05", "") == (date(2013, 3, 5), loaded[1])
    assert default_range(CONTRACTS, loaded, "", "2013-03-05") == (loaded[0], date(2013, 3, 5))
    # An event far in the future may be a mistake.
    ongoing = next(iter(CONTRACTS)).model_copy(update={"history": None})
    tomorrow = TODAY + timedelta(days=1)
    assert default_range([ongoing], (TODAY, date(2199, 1, 1)), "", "") == (TODAY, tomorrow)
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
