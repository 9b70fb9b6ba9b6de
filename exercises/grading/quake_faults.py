"""Faults that a learner's tests of the mart of earthquakes must notice: statements that change the rows of a date."""

from datetime import date

from exercises.grading.earthquakes import COLUMNS
from exercises.grading.quake_platform import MART

_FAULTS = {
    "a date has a class twice": "insert into {mart} select * from {mart} where {strong}",
    "a date is null": "update {mart} set event_date = null where {strong}",
    "a class is null": "update {mart} set magnitude_class = null where {strong}",
    "a number of quakes is null": "update {mart} set quakes = null where {strong}",
    "a number of reviewed ones is null": "update {mart} set reviewed = null where {strong}",
    "there is a class huge": "update {mart} set magnitude_class = 'huge' where {strong}",
    "a row has no earthquakes": "insert into {mart} ({columns}) values ({date} + 1000, 'unknown', 0, 0, null, null)",
    "more are reviewed than there are": "update {mart} set reviewed = quakes + 1 where {strong}",
    "a minor earthquake has magnitude 3": "update {mart} set largest_magnitude = 3 where {minor}",
    "a light earthquake has magnitude 2.99": "update {mart} set largest_magnitude = 2.99 where {light}",
    "a light earthquake has magnitude 5": "update {mart} set largest_magnitude = 5 where {light}",
    "a strong earthquake has magnitude 4.99": "update {mart} set largest_magnitude = 4.99 where {strong}",
    "a strong earthquake has no magnitude": "update {mart} set largest_magnitude = null where {strong}",
    "an unknown magnitude is 4": "update {mart} set largest_magnitude = 4 where {unknown}",
    "an earthquake is lost": "update {mart} set quakes = quakes - 1, reviewed = least(reviewed, 1) where {minor}",
    "a date is lost": "delete from {mart} where event_date = {date}",
    "an earthquake is counted twice": "update {mart} set quakes = quakes + 1 where {strong}",
}
CLASSES = ("minor", "light", "strong", "unknown")
"""The date has a row of each."""


def faults(day: date) -> dict[str, str]:
    """Returns what is wrong, and the statement that makes it so in ``staging``.

    Args:
        day: a date of the mart, with at least three minor earthquakes and a row of each class.
    """
    literal = f"date '{day}'"
    classes = {name: f"event_date = {literal} and magnitude_class = '{name}'" for name in CLASSES}
    values = {"mart": f"staging.{MART}", "columns": ", ".join(COLUMNS), "date": literal, **classes}
    return {fault: statement.format_map(values) for fault, statement in _FAULTS.items()}
