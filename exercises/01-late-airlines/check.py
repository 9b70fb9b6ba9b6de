"""Grades the query on a third of the flights: other dates and other airlines than the learner has seen."""

from secrets import randbelow

from exercises.attempt import Attempt


def check(attempt: Attempt) -> None:
    """Compares the rows of the learner's query with those of the solution."""
    dates = f"hashtextextended(flight_date::text, {randbelow(2**31)}) % 3 = 0"
    tables = {"marts.fct_flights": dates, "marts.agg_carrier_daily": dates, "marts.dim_carrier": "true"}
    with attempt.unseen_warehouse(tables) as warehouse:
        warehouse.compare("answer.sql")
