"""The flights' SQL. Each function takes a connection and returns rows; none depends on the pages.

Python has the dates of years 1 to 9999. Times beyond them are returned as text, or are left out where a page counts by
date or hour.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from dashboard.database import Connection, fetch

STREAMS = ("flights.departed", "flights.cancelled")
"""The streams that the live view reads."""
RECENT = timedelta(days=1)
"""Dates that a load has changed within this time before the latest load are recent arrivals."""
MAX_AIRPORT_HOURS = 10_000
"""How many airport-hours a window compares; three airports have 504 in seven days."""
MAX_GROUPS = 50
"""How many airlines, origins and destinations a page lists: those with the most flights."""
MAX_DATES = 750
"""How many dates a page lists, the latest: more than two years have."""
MAX_CHOICES = 500
"""How many airlines and how many origin airports a filter offers."""
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
    ascending. Of each kind the list is at most as long as ``MAX_GROUPS`` or ``MAX_DATES`` says.
    """

    total: Group
    by_carrier: list[Group]
    by_origin: list[Group]
    by_destination: list[Group]
    by_date: list[Group]
    sizes: dict[str, int]
    """How many groups there are by kind (carrier, origin, destination, date), with those beyond the limits."""


@dataclass(frozen=True)
class Span:
    """The first and the last date with flights in the marts."""

    first: date
    recent: date
    """The first date with flights among the thirty that end with the last one."""
    last: date
    outside: int
    """Flights on dates that Python does not have."""

    def overlaps(self, first: date, last: date) -> bool:
        """Whether a range of dates, both included, has one of the dates from the first to the last one."""
        return first <= self.last and last >= self.first


@dataclass(frozen=True)
class WeatherGroup:
    """Scheduled flights in airport-hours of one kind of weather. The delay is the average at departure, in minutes."""

    kind: str
    hours: int
    flights: int
    cancelled: int
    delay: float | None


def arrivals(connection: Connection, newest: datetime | None) -> list[tuple[date, datetime]]:
    """Returns the event dates in which flights have arrived lately, each with the time of its latest load, ascending.

    Args:
        connection: to the warehouse.
        newest: the event time that arrives now; the newest of all if it is None. The dates that the live view has
            before it count as arriving now: no load may have read them yet.
    """
    query = """
        with loaded as (
            select event_date, loaded_at from ops.dates where stream = any(%(streams)s) and isfinite(loaded_at)
        )
        select event_date, max(arrived_at) as arrived_at
        from (
            select event_date, loaded_at as arrived_at from loaded
            where loaded_at > (select max(loaded_at) - %(recent)s from loaded)
            union all
            select cast(hour at time zone 'UTC' as date), now() from live.flights
            cross join (
                select coalesce(%(newest)s, max(hour)) as newest
                from live.flights where hour > '0001-01-10' and hour < '9999-12-31'
            ) front
            where hour between newest - interval '7 days' and newest
        ) changed
        where event_date > '0001-01-10' and event_date < '9999-12-31'
        group by 1 order by 1
    """
    values = {"streams": list(STREAMS), "recent": RECENT, "newest": newest}
    return connection.execute(query, values).fetchall()


def airport_hours(connection: Connection, first: date, last: date) -> list[AirportHour]:
    """Returns the airport-hours of some dates (UTC, both included), with the figures of live view and marts.

    The newest hour comes first. At most ``MAX_AIRPORT_HOURS``.

    A departure belongs to the hour in which the flight left, a cancellation to the hour of the scheduled departure.
    """
    query = """
        with batch as (
            select origin, hour, sum(departures) as departures, sum(delay) as delay, sum(cancellations) as cancellations
            from (
                select origin, date_trunc('hour', departed_at, 'UTC') as hour, count(*) as departures,
                    sum(departure_delay_minutes) as delay, 0 as cancellations
                from marts.fct_flights
                where cast(departed_at at time zone 'UTC' as date) between %(first)s and %(last)s
                group by 1, 2
                union all
                select origin, date_trunc('hour', scheduled_at, 'UTC'), 0, 0, count(*)
                from marts.fct_flights
                where cast(scheduled_at at time zone 'UTC' as date) between %(first)s and %(last)s
                    and status = 'cancelled'
                group by 1, 2
            ) departures_and_cancellations
            group by 1, 2
        ),
        closed as (
            select event_date, bool_and(closed and not pending) as closed
            from ops.date_status
            where stream = any(%(streams)s) and event_date between %(first)s and %(last)s
            group by 1
        )
        select
            origin, hour,
            coalesce(live.departures, 0)::bigint as live_departures,
            coalesce(live.delay_minutes, 0)::bigint as live_delay_minutes,
            coalesce(live.cancellations, 0)::bigint as live_cancellations,
            coalesce(batch.departures, 0)::bigint as batch_departures,
            coalesce(batch.delay, 0)::bigint as batch_delay_minutes,
            coalesce(batch.cancellations, 0)::bigint as batch_cancellations,
            coalesce(closed.closed, false) as closed
        from (
            select * from live.airport_hours where hour >= %(since)s and hour < %(until)s
        ) live
        full join batch using (origin, hour)
        left join closed on closed.event_date = cast(hour at time zone 'UTC' as date)
        order by hour desc, origin
        limit %(limit)s
    """
    since = datetime.combine(first, time(), UTC)
    values = {
        "since": since,
        "until": since + (last - first) + timedelta(days=1),
        "first": first,
        "last": last,
        "streams": list(STREAMS),
        "limit": MAX_AIRPORT_HOURS,
    }
    return fetch(connection, AirportHour, query, values)


def progress(connection: Connection) -> Progress:
    """Returns how far the live view and the batch have processed the events, according to their own records."""
    query = """
        with loads as (
            select topic_id, partition, next_offset as loaded
            from ops.ledger_ends
            where stream = any(%(streams)s)
        ),
        next_offsets as (
            select coalesce(next_offset, 0) as live, coalesce(loaded, 0) as loaded
            from live.partitions full join loads using (topic_id, partition)
        )
        select
            (select coalesce(sum(greatest(live - loaded, 0)), 0)::bigint from next_offsets) as load_lag,
            (select coalesce(sum(greatest(loaded - live, 0)), 0)::bigint from next_offsets) as live_lag,
            (select count(distinct (stream, event_date)) from ops.stale_dates where built_at is null) as pending
    """
    return fetch(connection, Progress, query, {"streams": list(STREAMS)})[0]


def date_span(connection: Connection) -> Span | None:
    """Returns the first and the last date with flights in the marts; None if there are none."""
    query = """
        with dates as (
            select flight_date, flights, flight_date between '0001-01-01' and '9999-12-31' as counted
            from marts.agg_carrier_daily
        ),
        span as (
            select min(flight_date) filter (where counted) as first, max(flight_date) filter (where counted) as last,
                coalesce(sum(flights) filter (where not counted), 0)::bigint as outside
            from dates
        )
        select first, (select min(flight_date) from dates where counted and flight_date > last - 30), last, outside
        from span
    """
    row = connection.execute(query).fetchone()
    return None if row is None or row[0] is None else Span(*row)


def filter_choices(connection: Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns the airlines and the origin airports that the page's filters offer, as pairs of code and name.

    Of each the first ``MAX_CHOICES`` by name, and one more to show that there are more.
    """
    limit = {"limit": MAX_CHOICES + 1}
    carriers = connection.execute(
        "select carrier, name from marts.dim_carrier order by name limit %(limit)s", limit
    ).fetchall()
    origins = connection.execute(
        "select airport, name from marts.dim_airport"
        " where airport in (select distinct origin from marts.agg_airport_hourly) order by name limit %(limit)s",
        limit,
    ).fetchall()
    return carriers, origins


def figures(connection: Connection, selection: Selection) -> Figures:
    """Returns the figures of a selection by group, from a single scan of its flights."""
    query = """
        with groups as (
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
        ),
        ranked as (
            select *, count(*) over (partition by kind) as groups,
                row_number() over (
                    partition by kind order by case kind when 'date' then name end desc, flights desc, name
                ) as rank
            from groups
        )
        select kind, groups, name, flights, departed, arrived, cancelled, on_time, departure_delay, arrival_delay
        from ranked
        where rank <= case kind when 'date' then %(dates)s else %(groups)s end
    """
    groups: dict[str, list[Group]] = {kind: [] for kind in ("total", "carrier", "origin", "destination", "date")}
    sizes = dict.fromkeys(groups, 0)
    limits = {"on_time": ON_TIME_MINUTES, "dates": MAX_DATES, "groups": MAX_GROUPS}
    for kind, size, *values in connection.execute(query, _parameters(selection) | limits):
        groups[kind].append(Group(*values))
        sizes[kind] = size

    def largest_first(kind: str) -> list[Group]:
        return sorted(groups[kind], key=lambda group: (-group.flights, group.name))

    def by_name(kind: str) -> list[Group]:
        return sorted(groups[kind], key=lambda group: group.name)

    return Figures(
        groups["total"][0],
        largest_first("carrier"),
        by_name("origin"),
        largest_first("destination"),
        by_name("date"),
        sizes,
    )


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
