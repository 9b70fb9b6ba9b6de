"""Event dates as a heat map: the most urgent state of each, and nothing left out in silence."""

from datetime import date

import pytest

from dashboard.heat_map import MAX_MONTHS, STATES, heat_map, state
from dashboard.queries import EventDate


def event_date(
    day: date | str, quarantined: int = 0, late: int = 0, closed: bool = True, pending: bool = False
) -> EventDate:
    return EventDate(day, 10, quarantined, 0, late, 0, 1, closed, pending, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "closed"),
        ({"late": 1}, "late"),
        ({"late": 1, "closed": False}, "open"),
        ({"late": 1, "quarantined": 1}, "quarantined"),
        ({"quarantined": 1, "pending": True, "closed": False}, "pending"),
    ],
)
def test_a_date_shows_its_most_urgent_state(values: dict[str, int], expected: str) -> None:
    assert state(event_date(date(2013, 1, 5), **values)) == expected
    assert expected in STATES


def test_months_with_dates_come_latest_first_with_a_cell_per_day() -> None:
    found = heat_map([event_date(date(2013, 6, 3)), event_date(date(2013, 2, 28))])
    assert [(name, len(cells)) for name, cells in found.months] == [("Jun 2013", 30), ("Feb 2013", 28)]
    assert [cell.day.day for cell in found.months[0][1] if cell.event_date] == [3]
    assert found.months[0][1][0].state == "none"
    assert found.left_out == 0


def test_dates_that_do_not_fit_are_counted() -> None:
    dates = [event_date(date(2000 + month // 12, month % 12 + 1, 1)) for month in range(MAX_MONTHS + 3)]
    found = heat_map([*dates, event_date("infinity")])
    assert (len(found.months), found.left_out) == (MAX_MONTHS, 4)
    assert found.months[0][0] == "Mar 2002"
