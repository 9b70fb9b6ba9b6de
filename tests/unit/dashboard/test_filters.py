"""What an address asks for, and what is said of what is not understood."""

from datetime import date

import pytest

from dashboard.filters import selection
from dashboard.queries import Selection

SPAN = (date(2013, 1, 1), date(2013, 2, 12))
CARRIERS, ORIGINS = {"UA", "B6"}, {"EWR", "JFK"}


def ask(**address: str) -> tuple[Selection, list[str]]:
    named = {name.rstrip("_"): value for name, value in address.items()}
    found = selection(named, SPAN, CARRIERS, ORIGINS)
    return found.chosen, found.faults


def test_without_dates_it_is_the_last_month_with_flights() -> None:
    assert ask() == (Selection(date(2013, 2, 1), date(2013, 2, 28)), [])


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2013-01-05", "", (date(2013, 1, 5), date(2013, 1, 31))),
        ("", "2013-01-05", (date(2013, 1, 1), date(2013, 1, 5))),
        ("2013-01-05", "2013-01-05", (date(2013, 1, 5), date(2013, 1, 5))),
    ],
)
def test_one_end_gives_the_other(first: str, last: str, expected: tuple[date, date]) -> None:
    chosen, faults = ask(from_=first, to=last)
    assert ((chosen.first, chosen.last), faults) == (expected, [])


def test_known_codes_are_taken_and_unknown_ones_said() -> None:
    chosen, faults = ask(carrier="UA", origin="XXX")
    assert (chosen.carrier, chosen.origin) == ("UA", None)
    assert faults == ["origin: there is no 'XXX'"]


def test_dates_that_are_none_are_said_and_exchanged_ends_are_put_right() -> None:
    chosen, faults = ask(from_="soon", to="2013-01-05")
    assert (chosen.first, faults) == (date(2013, 1, 1), ["from: 'soon' is no date, as 2013-01-31 is one"])
    chosen, faults = ask(from_="2013-01-05", to="2013-01-02")
    assert (chosen.first, chosen.last) == (date(2013, 1, 2), date(2013, 1, 5))
    assert len(faults) == 1
