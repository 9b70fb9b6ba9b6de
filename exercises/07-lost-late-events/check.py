"""Grades the model on late events of dates that it has built and of a date that it has not, and what it has written.

One of the dates that must not be written again is stale all the same: another stream has changed there.
"""

from datetime import date, timedelta
from secrets import choice, randbelow

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.mart_rows import compare_rows, when
from exercises.grading.project import Project, unseen_project
from exercises.grading.unseen import random_date, random_events
from producers.events import Event

MART = "agg_departures_daily"
STREAMS = ["flights.departed"]
OTHER_STREAM = "weather.observed"
DAY = timedelta(days=1)
DAY_MS = 86_400_000

_EXPECTED = """
select
    _event_date as event_date,
    count(*) as departures,
    count(*) filter (where departure_delay_minutes > 15) as departed_late,
    avg(departure_delay_minutes) as avg_departure_delay_minutes
from staging.stg_flights_departed
group by _event_date"""
_TABLE = "select relkind, oid from pg_class where oid = to_regclass('staging.agg_departures_daily')"
_VERSIONS = "select event_date, xmin || ' ' || ctid from staging.agg_departures_daily"

_HINT = "see which dates a run builds, and what becomes of the rows that they have already"


def check(attempt: Attempt) -> None:
    """Builds three dates and an old one, then again after late events, and once more as if the run had failed."""
    files = {f"models/marts/{MART}.sql": attempt.query(f"{MART}.sql")}
    if (attempt.folder / "macros.sql").exists():
        files["macros/macros.sql"] = attempt.read("macros.sql")
    attempt.tell("filling a warehouse of the check with events")
    with unseen_project(attempt.settings) as project:
        project.lay_over(files)
        first, late, touched, other = _events(project)
        project.fill(first)
        attempt.tell("building the model for the first time")
        project.build(f"+{MART}")
        _compare(project, "after the first run")
        project.mark_built()
        table, versions = _written(project)

        attempt.tell("building it again after late events")
        project.fill(late)
        project.build(f"+{MART}")
        _compare(project, "after late events have arrived", _HINT)
        if (again := _written(project))[0] != table:
            raise WrongAnswer(
                f"the whole table was built again: {len(again[1])} dates, of which {len(touched)} have new events",
                "the figures are right, and the run costs more with every date; keep what has not changed",
            )
        for day, version in versions.items():
            if day not in touched and again[1][day] != version:
                if day == other:
                    raise WrongAnswer(
                        f"the row of {day} was written again, although only events of {OTHER_STREAM} have arrived",
                        "the figures are right; the plan says of each date which stream has changed",
                    )
                raise WrongAnswer(
                    f"the row of {day} was written again, although no event of that date has arrived",
                    "the figures are right; build only the dates of the plan",
                )

        attempt.tell("repeating the run")
        # As after a failure: the plan of the run is still the same.
        project.build(f"+{MART}")
        _compare(project, "after the same run was repeated", _HINT)


def _events(project: Project) -> tuple[list[Event], list[Event], set[date], date]:
    """Returns the events that arrive first and those that arrive later; the dates of late departures; another date.

    On that one, only events of another stream are late.
    """
    day = random_date(date(2013, 9, 1))
    old = day - timedelta(days=20 + randbelow(200))
    never_seen, touched = old + DAY, choice([day, day + DAY])
    other = day + DAY if touched == day else day
    contracts = project.raw.contracts
    events = random_events(contracts, old, old + DAY, STREAMS) + random_events(contracts, day, day + 2 * DAY, STREAMS)
    first, late = [], []
    for event in events:
        date_of_event = _date(event)
        if date_of_event in (never_seen, day + 3 * DAY) or (date_of_event in (old, touched) and not randbelow(8)):
            late.append(event)
        elif date_of_event != old + 2 * DAY:
            first.append(event)
    weather = [event for event in random_events(contracts, other, other, [OTHER_STREAM]) if _date(event) == other]
    return first, late + weather, {_date(event) for event in late}, other


def _date(event: Event) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + event.timestamp // DAY_MS)


def _compare(project: Project, moment: str, hint: str = "") -> None:
    with when(moment, hint):
        compare_rows(MART, ["event_date"], project.table(MART), project.rows(_EXPECTED))


def _written(project: Project) -> tuple[object, dict[date, str]]:
    """Returns the identity of the table, and of each date's row: they change when Postgres writes them."""
    ((kind, identity),) = project.rows(_TABLE).rows
    if kind != "r":
        raise WrongAnswer(f"{MART} is not a table, so each reader computes every date", "keep it incremental")
    return identity, dict(project.rows(_VERSIONS).rows)
