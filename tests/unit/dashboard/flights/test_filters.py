"""The selection that a URL asks for, and the notices for invalid parameters."""

from datetime import date

import pytest

from dashboard.flights.filters import parse_selection
from dashboard.flights.queries import Selection, Span

SPAN = Span(date(2013, 1, 3), date(2013, 1, 20), date(2013, 2, 12), 0)
CARRIERS, ORIGINS = {"UA", "B6"}, {"EWR", "JFK"}


def parse(**parameters: str) -> tuple[Selection, list[str]]:
    """Parses query parameters; ``from_`` stands for ``from``, a keyword of Python."""
    by_name = {name.rstrip("_"): value for name, value in parameters.items()}
    parsed = parse_selection(by_name, SPAN, CARRIERS, ORIGINS)
    return parsed.selection, parsed.notices


def test_the_default_is_the_newest_thirty_days_with_flights() -> None:
    assert parse() == (Selection(date(2013, 1, 20), date(2013, 2, 12)), [])


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2013-01-05", "", (date(2013, 1, 5), date(2013, 1, 31))),
        ("", "2013-01-05", (date(2013, 1, 1), date(2013, 1, 5))),
        ("2013-01-05", "2013-01-05", (date(2013, 1, 5), date(2013, 1, 5))),
    ],
)
def test_a_missing_date_is_derived_from_the_other(first: str, last: str, expected: tuple[date, date]) -> None:
    selection, notices = parse(from_=first, to=last)
    assert ((selection.first, selection.last), notices) == (expected, [])


def test_an_unknown_code_is_ignored_with_a_notice() -> None:
    selection, notices = parse(carrier="UA", origin="XXX")
    assert (selection.carrier, selection.origin) == ("UA", None)
    assert notices == ["origin: 'XXX' does not exist"]


def test_an_invalid_date_is_ignored_with_a_notice() -> None:
    selection, notices = parse(from_="soon", to="2013-01-05")
    assert (selection.first, notices) == (date(2013, 1, 1), ["from: 'soon' is not a date such as 2013-01-31"])


def test_dates_in_the_wrong_order_are_swapped_with_a_notice() -> None:
    selection, notices = parse(from_="2013-01-05", to="2013-01-02")
    assert (selection.first, selection.last) == (date(2013, 1, 2), date(2013, 1, 5))
    assert notices == ["from: 2013-01-05 is after 2013-01-02, so the two dates were swapped"]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("0001-01-01", "9999-12-31", (date(2013, 1, 1), date(2013, 2, 28))),
        ("9999-12-31", "0001-01-01", (date(2013, 1, 1), date(2013, 2, 28))),
        ("2013-02-12", "9999-12-31", (date(2013, 2, 12), date(2013, 2, 28))),
        ("0001-01-01", "2013-01-03", (date(2013, 1, 1), date(2013, 1, 3))),
        ("2013-01-05", "2014-01-01", (date(2013, 1, 5), date(2013, 2, 28))),
    ],
)
def test_a_range_is_limited_to_the_months_with_flights_with_a_notice(
    first: str, last: str, expected: tuple[date, date]
) -> None:
    selection, notices = parse(from_=first, to=last)
    assert (selection.first, selection.last) == expected
    assert notices[-1] == "there are flights from 2013-01-03 to 2013-02-12 only, so other dates were left out"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2013-06-01", "2013-06-30", (date(2013, 6, 1), date(2013, 6, 30))),
        ("2013-02-13", "2014-01-01", (date(2013, 2, 13), date(2014, 1, 1))),
        ("2012-01-01", "2013-01-02", (date(2012, 1, 1), date(2013, 1, 2))),
        ("9999-12-31", "", (date(9999, 12, 31), date(9999, 12, 31))),
        ("", "0001-01-01", (date(1, 1, 1), date(1, 1, 1))),
    ],
)
def test_a_range_without_flights_keeps_its_dates(first: str, last: str, expected: tuple[date, date]) -> None:
    selection, notices = parse(from_=first, to=last)
    assert ((selection.first, selection.last), notices) == (expected, [])


@pytest.mark.parametrize(
    "text", ["９９９９-01-01", "2013-01-01\x00", "-0001-01-01", "10000-01-01", "x" * 100_000, "\ud800"]
)
def test_no_text_is_more_than_a_short_notice(text: str) -> None:
    selection, notices = parse(from_=text, carrier=text)
    assert selection == Selection(date(2013, 1, 20), date(2013, 2, 12))
    assert len(notices) == 2
    assert all(len(notice) < 200 for notice in notices)
