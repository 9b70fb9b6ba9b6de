"""Checks the schedules of loads with the library that Airflow uses."""

import re
from datetime import UTC, datetime

from croniter import CroniterBadDateError, CroniterError, croniter

_ITEM = r"(\*|(\d{1,2}|[A-Za-z]{3})(-(\d{1,2}|[A-Za-z]{3}))?)(/\d{1,2})?"
_FIELD = re.compile(rf"{_ITEM}(,{_ITEM})*")
"""Without croniter's extensions, which are random or which not every reader of a schedule knows."""
_FROM = datetime(2000, 1, 1, tzinfo=UTC)


def check_cron(schedule: str) -> str:
    """Returns the schedule.

    Raises:
        ValueError: it is not five cron fields, one is out of range, or no date ever matches them.
    """
    fields = schedule.split()
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        raise ValueError(f'expected five cron fields, such as "*/2 * * * *", found "{schedule}"')
    try:
        croniter(schedule, _FROM).get_next(datetime)
    except CroniterBadDateError:
        raise ValueError(f'expected a schedule with a date that exists, found "{schedule}"') from None
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError(f'expected five cron fields, such as "*/2 * * * *", found "{schedule}": {error}') from None
    return schedule


def next_time(schedule: str, after: datetime) -> datetime:
    """Returns the first time after a moment at which a checked schedule is due, in the moment's time zone."""
    due: datetime = croniter(schedule, after).get_next(datetime)
    return due
