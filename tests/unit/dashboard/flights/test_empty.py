"""What the page about flights says where a selection has none."""

from datetime import date

import pytest

from dashboard.app import _templates
from dashboard.flights.filters import SOURCE_FIRST, SOURCE_LAST, parse_selection, replay_range
from dashboard.flights.queries import Group, Selection, Span
from producers.flights import source
from sluice.settings import Settings

SPAN = Span(date(2013, 1, 3), date(2013, 1, 6), date(2013, 2, 5), 0)
"""With dates without a flight in between."""


def page(**parameters: str) -> str:
    """Returns the page's text for the parameters of its URL; ``from_`` stands for ``from``, a keyword of Python."""
    by_name = {name.rstrip("_"): value for name, value in parameters.items()}
    parsed = parse_selection(by_name, SPAN, {"HA"}, {"LGA"})
    selection = parsed.selection
    environment = _templates(Settings.model_construct()).env
    template = environment.get_template("flights.html")
    context = template.new_context(
        {
            "parts": environment.get_template("parts.html").module,
            "selection": selection,
            "notices": parsed.notices,
            "span": SPAN,
            "outside": not SPAN.overlaps(selection.first, selection.last),
            "replay": replay_range(selection),
            "source": (SOURCE_FIRST, SOURCE_LAST),
            "left_out": {},
            "carriers": [("HA", "Hawaiian")],
            "origins": [("LGA", "La Guardia")],
            "total": Group("", 0, 0, 0, 0, 0, None, None),
        }
    )
    return "".join(template.blocks["content"](context))


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2013-06-01", "2013-06-30"),  # after the flights
        ("2013-02-10", "2013-02-20"),  # after them, in the month of the last one
        ("2013-01-01", "2013-01-02"),  # before them, in the month of the first one
        ("2013-01-20", "2013-01-22"),  # between them
    ],
)
@pytest.mark.parametrize("carrier", ["", "HA"])
def test_a_range_without_flights_keeps_its_dates_and_says_how_to_get_them(first: str, last: str, carrier: str) -> None:
    text = page(from_=first, to=last, carrier=carrier)
    assert f"No flights match from {first} to {last}" in text
    assert f'name="from" value="{first}"' in text
    assert "were left out" not in text
    if carrier and first == "2013-01-20":
        # The flights of other airlines may be there.
        assert f'<a href="/flights?from={first}&amp;to={last}">all airlines and airports</a>' in text
    else:
        assert f"<code>make replay FROM={first} TO={last}</code>" in text


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2013-12-15", "2014-01-31", "<code>make replay FROM=2013-12-15 TO=2013-12-31</code>"),
        ("2012-01-01", "2013-01-02", "<code>make replay FROM=2013-01-01 TO=2013-01-02</code>"),
        ("2014-01-01", "9999-12-31", "the source has flights from 2013-01-01 to 2013-12-31 only"),
        ("0001-01-01", "2012-12-31", "the source has flights from 2013-01-01 to 2013-12-31 only"),
    ],
)
def test_only_dates_that_can_be_replayed_are_in_the_command(first: str, last: str, expected: str) -> None:
    text = page(from_=first, to=last)
    assert f"No flights match from {first} to {last}" in text
    assert expected in text


def test_the_dates_that_can_be_replayed_are_those_of_the_source() -> None:
    assert (SOURCE_FIRST, SOURCE_LAST) == (source.FIRST_DATE, source.LAST_DATE)
    day = date(2013, 5, 1)
    assert replay_range(Selection(day, day)) == (day, day)
