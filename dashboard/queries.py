"""All SQL of the dashboard. Each function takes a connection and returns rows; nothing here knows of pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")

RECENT = timedelta(days=7)
"""How much of the event time *Now* compares: the days that are open, and some that are closed."""
ON_TIME_MINUTES = 15
"""An arrival no later than this is on time, as in the marts."""


@dataclass(frozen=True)
class Hour:
    """Departures and cancellations of an airport in an hour of event time, as the live view and the marts have them."""

    origin: str
    hour: datetime
    live_departures: int
    live_delay_minutes: int
    live_cancellations: int
    batch_departures: int
    batch_delay_minutes: int
    batch_cancellations: int
    closed: bool
    """All its events are thought to be here, by the loads' watermarks."""

    @property
    def equal(self) -> bool:
        """Whether both have the same figures."""
        return (self.live_departures, self.live_delay_minutes, self.live_cancellations) == (
            self.batch_departures,
            self.batch_delay_minutes,
            self.batch_cancellations,
        )


@dataclass(frozen=True)
class Progress:
    """How far live view and batch have come."""

    live_until: datetime | None
    """The newest hour of event time that the live view knows."""
    marts_until: datetime | None
    """The newest departure in the marts."""
    ahead: int
    """Records of the live view's streams that it has read and no load has."""
    behind: int
    """The same, the other way round."""
    pending: int
    """Dates of all streams that were loaded and whose marts are yet to be built."""


@dataclass(frozen=True)
class Alert:
    """Something that somebody should look at."""

    raised_at: datetime
    kind: str
    subject: str
    message: str
    cleared_at: datetime | None


@dataclass(frozen=True)
class Selection:
    """Which flights: New York's dates, both ends included; an airline and an airport of origin, or all."""

    first: date
    last: date
    carrier: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Group:
    """Figures of some flights."""

    name: str
    flights: int
    departed: int
    arrived: int
    cancelled: int
    on_time: int
    departure_delay: float | None
    arrival_delay: float | None

    @property
    def on_time_share(self) -> float | None:
        """Of those that arrived."""
        return self.on_time / self.arrived if self.arrived else None


@dataclass(frozen=True)
class Figures:
    """The figures of a selection in groups.

    Airlines and destinations come by their flights, the most first; airports of origin and dates (2013-01-31) in order.
    """

    total: Group
    by_carrier: list[Group]
    by_origin: list[Group]
    by_destination: list[Group]
    by_date: list[Group]


@dataclass(frozen=True)
class Weather:
    """Departures in hours of a kind of weather."""

    kind: str
    hours: int
    flights: int
    cancelled: int
    delay: float | None


@dataclass(frozen=True)
class Stream:
    """What the warehouse holds of a stream."""

    stream: str
    loaded: int
    """Offsets that loads have taken: rows and quarantined records, and those that hold no record."""
    rows: int
    quarantined: int
    duplicates: int
    loaded_at: datetime | None
    watermark: datetime | None
    pending: int


@dataclass(frozen=True)
class Day:
    """One event date over all streams."""

    event_date: date
    rows: int
    quarantined: int
    duplicates: int
    late: int
    after_close: int
    changes: int
    """Loads and reloads that have changed it."""
    closed: bool
    pending: bool
    built_at: datetime | None


@dataclass(frozen=True)
class Run:
    """A run of one of Airflow's DAGs."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    start_date: datetime | None
    end_date: datetime | None


@dataclass(frozen=True)
class Reason:
    """Quarantined records of a stream that are there for the same kind of reason."""

    stream: str
    kind: str
    records: int
    discarded: int
    first: date
    last: date


@dataclass(frozen=True)
class Example:
    """One record of them."""

    stream: str
    kind: str
    event_date: date
    partition: int
    offset: int
    reason: str
    value: bytes | None


def hours(connection: Connection) -> list[Hour]:
    """The latest hours that the live view knows, per airport, beside the marts' figures; newest first.

    A departure belongs to the hour in which it left, a cancellation to the one in which it was to leave.
    """
    query = """
        with last as (
            select max(hour) as hour from live.flights
        ),
        batch as (
            select origin, hour, sum(departures) as departures, sum(delay) as delay, sum(cancellations) as cancellations
            from (
                select origin, date_trunc('hour', departed_at, 'UTC') as hour, count(*) as departures,
                    sum(departure_delay_minutes) as delay, 0 as cancellations
                from marts.fct_flights
                where cast(departed_at at time zone 'UTC' as date) >= %(first)s and departed_at >= %(since)s
                group by 1, 2
                union all
                select origin, date_trunc('hour', scheduled_at, 'UTC'), 0, 0, count(*)
                from marts.fct_flights
                where cast(scheduled_at at time zone 'UTC' as date) >= %(first)s and scheduled_at >= %(since)s
                    and status = 'cancelled'
                group by 1, 2
            ) both_kinds
            group by 1, 2
        ),
        closed as (
            select event_date, bool_and(closed and not pending) as closed
            from ops.date_status
            where stream in ('flights.departed', 'flights.cancelled') and event_date >= %(first)s
            group by 1
        )
        select
            origin, hour,
            coalesce(live.departures, 0)::int as live_departures,
            coalesce(live.delay_minutes, 0)::int as live_delay_minutes,
            coalesce(live.cancellations, 0)::int as live_cancellations,
            coalesce(batch.departures, 0)::int as batch_departures,
            coalesce(batch.delay, 0)::int as batch_delay_minutes,
            coalesce(batch.cancellations, 0)::int as batch_cancellations,
            coalesce(closed.closed, false) as closed
        from (select * from live.airport_hours where hour >= %(since)s) live
        full join batch using (origin, hour)
        left join closed on closed.event_date = cast(hour at time zone 'UTC' as date)
        order by hour desc, origin
    """
    row = connection.execute("select max(hour) from live.flights").fetchone()
    if row is None or row[0] is None:
        return []
    since = row[0] - RECENT
    return _rows(connection, Hour, query, {"since": since, "first": since.date()})


def progress(connection: Connection) -> Progress:
    """How far live view and batch have come, each by its own word."""
    query = """
        with heads as (
            select topic_id, partition, max(next_offset) as loaded
            from ops.loads
            where stream in ('flights.departed', 'flights.cancelled')
            group by 1, 2
        ),
        both_heads as (
            select coalesce(next_offset, 0) as live, coalesce(loaded, 0) as loaded
            from live.partitions full join heads using (topic_id, partition)
        )
        select
            (select max(hour) from live.flights) as live_until,
            (
                select max(departed_at) from marts.fct_flights
                where cast(departed_at at time zone 'UTC' as date) = (
                    select max(cast(departed_at at time zone 'UTC' as date)) from marts.fct_flights
                )
            ) as marts_until,
            (select coalesce(sum(greatest(live - loaded, 0)), 0)::bigint from both_heads) as ahead,
            (select coalesce(sum(greatest(loaded - live, 0)), 0)::bigint from both_heads) as behind,
            (select count(distinct (stream, event_date)) from ops.touched_dates where built_at is null) as pending
    """
    return _rows(connection, Progress, query)[0]


def alerts(connection: Connection) -> list[Alert]:
    """Open alerts, and those that were cleared in the last day; newest first."""
    return _rows(
        connection,
        Alert,
        "select raised_at, kind, subject, message, cleared_at from ops.alerts"
        " where cleared_at is null or cleared_at > now() - interval '1 day'"
        " order by cleared_at is not null, raised_at desc limit 20",
    )


def span(connection: Connection) -> tuple[date, date] | None:
    """The first and the last date that the marts have flights of; None where there are none."""
    row = connection.execute("select min(flight_date), max(flight_date) from marts.agg_carrier_daily").fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def choices(connection: Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Airlines and airports of origin to choose from, each as code and name."""
    carriers = connection.execute("select carrier, name from marts.dim_carrier order by name").fetchall()
    origins = connection.execute(
        "select airport, name from marts.dim_airport"
        " where airport in (select distinct origin from marts.agg_airport_hourly) order by name"
    ).fetchall()
    return carriers, origins


def figures(connection: Connection, chosen: Selection) -> Figures:
    """The figures of a selection in all their groups, from one look at its flights."""
    query = """
        select
            case
                when grouping(carrier) = 0 then 'carrier' when grouping(origin) = 0 then 'origin'
                when grouping(dest) = 0 then 'destination' when grouping(flight_date) = 0 then 'date' else 'total'
            end as kind,
            coalesce(carrier, origin, dest, to_char(flight_date, 'YYYY-MM-DD'), '') as name,
            count(*) as flights,
            count(*) filter (where status <> 'cancelled') as departed,
            count(*) filter (where status = 'arrived') as arrived,
            count(*) filter (where status = 'cancelled') as cancelled,
            count(*) filter (where status = 'arrived' and arrival_delay_minutes <= %(on_time)s) as on_time,
            sum(departure_delay_minutes)::float8 / nullif(count(departure_delay_minutes), 0) as departure_delay,
            sum(arrival_delay_minutes)::float8 / nullif(count(arrival_delay_minutes), 0) as arrival_delay
        from marts.fct_flights
        where flight_date between %(first)s and %(last)s
            and (%(carrier)s::text is null or carrier = %(carrier)s)
            and (%(origin)s::text is null or origin = %(origin)s)
        group by grouping sets ((), (carrier), (origin), (dest), (flight_date))
    """
    found: dict[str, list[Group]] = {kind: [] for kind in ("total", "carrier", "origin", "destination", "date")}
    for kind, *values in connection.execute(query, _parameters(chosen) | {"on_time": ON_TIME_MINUTES}):
        found[kind].append(Group(*values))

    def largest(kind: str) -> list[Group]:
        return sorted(found[kind], key=lambda each: (-each.flights, each.name))

    def ordered(kind: str) -> list[Group]:
        return sorted(found[kind], key=lambda each: each.name)

    total = found["total"][0]
    return Figures(total, largest("carrier"), ordered("origin"), largest("destination"), ordered("date"))


def by_weather(connection: Connection, chosen: Selection) -> list[Weather]:
    """The hours of a selection's dates by their weather at the airport of origin, over all airlines."""
    query = """
        with kinds as (
            select *, case
                when visibility_miles < 3 then 'Visibility below 3 miles'
                when precipitation_in > 0 then 'Rain or snow'
                when wind_speed_mph >= 20 then 'Wind of 20 mph or more'
                when visibility_miles is null then 'Not observed'
                else 'Calm and dry'
            end as kind
            from marts.agg_airport_hourly
            where cast(hour at time zone 'UTC' as date) between %(first)s and %(last)s + 1
                and cast(hour at time zone 'America/New_York' as date) between %(first)s and %(last)s
                and (%(origin)s::text is null or origin = %(origin)s)
        )
        select kind, count(*) as hours, sum(flights)::bigint as flights, sum(cancelled)::bigint as cancelled,
            (sum(avg_departure_delay_minutes * (flights - cancelled)) / nullif(sum(flights - cancelled), 0))::float8
                as delay
        from kinds group by 1 order by delay desc nulls last
    """
    return _rows(connection, Weather, query, _parameters(chosen))


def streams(connection: Connection) -> list[Stream]:
    """What the warehouse holds of each stream."""
    query = """
        with heads as (
            select stream, sum(head)::bigint as loaded, max(loaded_at) as loaded_at
            from (
                select stream, max(next_offset) as head, max(loaded_at) as loaded_at
                from ops.loads group by stream, topic_id, partition
            ) each_partition
            group by 1
        ),
        held as (
            select stream, sum(rows)::bigint as rows, sum(quarantined)::bigint as quarantined,
                coalesce(sum(duplicates), 0)::bigint as duplicates
            from ops.dates group by 1
        ),
        pending as (
            select stream, count(distinct event_date) as pending
            from ops.touched_dates where built_at is null group by 1
        )
        select stream, coalesce(loaded, 0) as loaded, coalesce(rows, 0) as rows,
            coalesce(quarantined, 0) as quarantined, coalesce(duplicates, 0) as duplicates, heads.loaded_at, watermark,
            coalesce(pending, 0) as pending
        from ops.streams
        left join heads using (stream) left join held using (stream) left join pending using (stream)
        left join ops.watermarks using (stream)
        order by stream
    """
    return _rows(connection, Stream, query)


def flights_in_marts(connection: Connection) -> int:
    """How many flights the marts hold."""
    row = connection.execute("select coalesce(sum(flights), 0)::bigint from marts.agg_carrier_daily").fetchone()
    return int(row[0]) if row else 0


def days(connection: Connection, until: date | None, limit: int) -> list[Day]:
    """The last ``limit`` event dates up to ``until``, over all streams; newest first."""
    query = """
        select event_date, sum(rows)::bigint as rows, sum(quarantined)::bigint as quarantined,
            coalesce(sum(duplicates), 0)::bigint as duplicates, sum(late)::bigint as late,
            sum(after_close)::bigint as after_close, sum(version)::bigint as changes,
            bool_and(closed) as closed, bool_or(pending) as pending, max(built_at) as built_at
        from ops.date_status
        where event_date in (
            select distinct event_date from ops.dates
            where %(until)s::date is null or event_date <= %(until)s
            order by event_date desc limit %(limit)s
        )
        group by 1 order by 1 desc
    """
    return _rows(connection, Day, query, {"until": until, "limit": limit})


def runs(airflow: Connection, limit: int) -> list[Run]:
    """Airflow's last runs; newest first. Takes a connection to Airflow's own database."""
    return _rows(
        airflow,
        Run,
        "select dag_id, run_id, state, run_type, start_date, end_date from dag_run"
        " order by coalesce(start_date, queued_at) desc limit %(limit)s",
        {"limit": limit},
    )


def reasons(connection: Connection, stream: str | None) -> list[Reason]:
    """What is in quarantine, by stream and kind of reason; the most frequent first."""
    return _rows(
        connection,
        Reason,
        "select stream, kind, count(*) as records, count(*) filter (where discarded) as discarded,"
        " min(event_date) as first, max(event_date) as last from ops.quarantine"
        " where %(stream)s::text is null or stream = %(stream)s group by 1, 2 order by 3 desc, 1, 2",
        {"stream": stream},
    )


def examples(connection: Connection, stream: str | None, each: int) -> list[Example]:
    """The newest ``each`` records of every kind of reason."""
    return _rows(
        connection,
        Example,
        'select stream, kind, event_date, partition, "offset", reason, value from ('
        " select *, row_number() over (partition by stream, kind"
        ' order by loaded_at desc, topic_id, partition, "offset" desc) as place'
        " from ops.quarantine where not discarded and (%(stream)s::text is null or stream = %(stream)s)"
        ") ranked where place <= %(each)s order by stream, kind, place",
        {"stream": stream, "each": each},
    )


def _parameters(chosen: Selection) -> dict[str, object]:
    return {
        "first": chosen.first,
        "last": chosen.last,
        "carrier": chosen.carrier,
        "origin": chosen.origin,
    }


def _rows(
    connection: Connection, kind: type[Row], query: LiteralString, parameters: Mapping[str, object] | None = None
) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        found: Sequence[Row] = cursor.execute(query, parameters).fetchall()
        return list(found)
