"""The flights' SQL. Each function takes a connection and returns rows; none depends on the pages."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dashboard.database import Connection, fetch

COMPARED_SPAN = timedelta(days=7)
"""How much event time *Now* compares: the dates that are open, and some that are closed."""
ON_TIME_MINUTES = 15
"""A flight that lands at most this late is on time, as in the marts."""


@dataclass(frozen=True)
class AirportHour:
    """An airport's departures and cancellations in one hour of event time, in the live view and in the marts."""

    origin: str
    hour: datetime
    live_departures: int
    live_delay_minutes: int
    live_cancellations: int
    batch_departures: int
    batch_delay_minutes: int
    batch_cancellations: int
    closed: bool
    """All its events are expected to have arrived, according to the watermarks, and its marts are built."""

    @property
    def matches(self) -> bool:
        """Whether live view and batch have the same figures."""
        return (self.live_departures, self.live_delay_minutes, self.live_cancellations) == (
            self.batch_departures,
            self.batch_delay_minutes,
            self.batch_cancellations,
        )


@dataclass(frozen=True)
class Progress:
    """How far the live view and the batch have processed the events."""

    newest_live_hour: datetime | None
    """The newest hour of event time in the live view."""
    newest_mart_departure: datetime | None
    """The newest departure in the marts."""
    load_lag: int
    """Records that the live view has read and no load has, of the live view's streams."""
    live_lag: int
    """Records that a load has read and the live view has not."""
    pending: int
    """Pairs of stream and date that are loaded and whose marts are not rebuilt yet, over all streams."""


@dataclass(frozen=True)
class Selection:
    """A selection of flights: New York dates, both included, and one airline or origin airport, or all of them."""

    first: date
    last: date
    carrier: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Group:
    """The figures of a group of flights. Delays are averages in minutes."""

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
        """The share of landed flights that were on time, 0 to 1; None if none has landed."""
        return self.on_time / self.arrived if self.arrived else None


@dataclass(frozen=True)
class Figures:
    """The figures of a selection, by group.

    Airlines and destinations are in descending order of flights, origin airports by code, and dates (2013-01-31)
    ascending.
    """

    total: Group
    by_carrier: list[Group]
    by_origin: list[Group]
    by_destination: list[Group]
    by_date: list[Group]


@dataclass(frozen=True)
class WeatherGroup:
    """Scheduled flights in airport-hours of one kind of weather. The delay is the average at departure, in minutes."""

    kind: str
    hours: int
    flights: int
    cancelled: int
    delay: float | None


def airport_hours(connection: Connection) -> list[AirportHour]:
    """Returns the latest airport-hours, with the figures of live view and marts; the newest hour first.

    A departure belongs to the hour in which the flight left, a cancellation to the hour of the scheduled departure.
    """
    query = """
        with batch as (
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
            ) departures_and_cancellations
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
    since = row[0] - COMPARED_SPAN
    return fetch(connection, AirportHour, query, {"since": since, "first": since.date()})


def progress(connection: Connection) -> Progress:
    """Returns how far the live view and the batch have processed the events, according to their own records."""
    query = """
        with loads as (
            select topic_id, partition, next_offset as loaded
            from ops.ledger_ends
            where stream in ('flights.departed', 'flights.cancelled')
        ),
        next_offsets as (
            select coalesce(next_offset, 0) as live, coalesce(loaded, 0) as loaded
            from live.partitions full join loads using (topic_id, partition)
        )
        select
            (select max(hour) from live.flights) as newest_live_hour,
            (
                select max(departed_at) from marts.fct_flights
                where cast(departed_at at time zone 'UTC' as date) = (
                    select max(cast(departed_at at time zone 'UTC' as date)) from marts.fct_flights
                )
            ) as newest_mart_departure,
            (select coalesce(sum(greatest(live - loaded, 0)), 0)::bigint from next_offsets) as load_lag,
            (select coalesce(sum(greatest(loaded - live, 0)), 0)::bigint from next_offsets) as live_lag,
            (select count(distinct (stream, event_date)) from ops.stale_dates where built_at is null) as pending
    """
    return fetch(connection, Progress, query)[0]


def date_span(connection: Connection) -> tuple[date, date] | None:
    """Returns the first and the last date with flights in the marts; None if there are none."""
    row = connection.execute("select min(flight_date), max(flight_date) from marts.agg_carrier_daily").fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def filter_choices(connection: Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns the airlines and the origin airports that the page's filters offer, as pairs of code and name."""
    carriers = connection.execute("select carrier, name from marts.dim_carrier order by name").fetchall()
    origins = connection.execute(
        "select airport, name from marts.dim_airport"
        " where airport in (select distinct origin from marts.agg_airport_hourly) order by name"
    ).fetchall()
    return carriers, origins


def flights_in_marts(connection: Connection) -> int:
    """Returns the number of flights in the marts."""
    row = connection.execute("select coalesce(sum(flights), 0)::bigint from marts.agg_carrier_daily").fetchone()
    return int(row[0]) if row else 0


def figures(connection: Connection, selection: Selection) -> Figures:
    """Returns the figures of a selection by group, from a single scan of its flights."""
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
    groups: dict[str, list[Group]] = {kind: [] for kind in ("total", "carrier", "origin", "destination", "date")}
    for kind, *values in connection.execute(query, _parameters(selection) | {"on_time": ON_TIME_MINUTES}):
        groups[kind].append(Group(*values))

    def largest_first(kind: str) -> list[Group]:
        return sorted(groups[kind], key=lambda group: (-group.flights, group.name))

    def by_name(kind: str) -> list[Group]:
        return sorted(groups[kind], key=lambda group: group.name)

    total = groups["total"][0]
    return Figures(total, largest_first("carrier"), by_name("origin"), largest_first("destination"), by_name("date"))


def by_weather(connection: Connection, selection: Selection) -> list[WeatherGroup]:
    """Returns the selection's airport-hours by the weather at the origin airport, over all airlines."""
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
    return fetch(connection, WeatherGroup, query, _parameters(selection))


def _parameters(selection: Selection) -> dict[str, object]:
    return {
        "first": selection.first,
        "last": selection.last,
        "carrier": selection.carrier,
        "origin": selection.origin,
    }
