"""Flights per date."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dashboard.charts import Chart, Series
from dashboard.flights.queries import Group


def flights_chart(by_date: Sequence[Group]) -> Chart:
    """Returns the chart of departed and cancelled flights per date. The groups are named by date, 2013-01-31."""
    return Chart(
        "Flights per date",
        [int(datetime.fromisoformat(group.name).replace(tzinfo=UTC).timestamp()) for group in by_date],
        [
            Series("Departed", "bars", "live", [group.departed for group in by_date]),
            Series("Cancelled", "steps", "bad", [group.cancelled for group in by_date]),
        ],
    )
