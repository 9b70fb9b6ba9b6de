"""Grades the query on a part of the dates: TODO(author), say what the learner cannot have seen."""

from secrets import randbelow

from exercises.grading.attempt import Attempt


def check(attempt: Attempt) -> None:
    """Compares the rows of the learner's query with those of the solution."""
    # TODO(author): change the copied rows with warehouse.change("…"), so that an answer by luck fails.
    # An exercise that needs something on the servers has `start(attempt)` and `clean(attempt)` as well.
    dates = f"hashtextextended(flight_date::text, {randbelow(2**31)}) % 3 = 0"
    with attempt.unseen_warehouse({"marts.fct_flights": dates}) as warehouse:
        warehouse.compare("answer.sql")
