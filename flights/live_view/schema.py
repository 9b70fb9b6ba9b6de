"""The live view's tables in the warehouse."""

from typing import LiteralString

from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import can_provision
from sluice.warehouse.lock import lock_provisioning

_STATEMENTS: tuple[LiteralString, ...] = (
    # The state of each flight, from the event that counts.
    """create table if not exists live.flights (
        flight_id text primary key,
        origin text not null,
        -- UTC hour of the departure, or of the scheduled one of a cancelled flight.
        hour timestamptz not null,
        departed boolean not null,
        delay_minutes integer,
        topic_id text not null,
        partition integer not null,
        "offset" bigint not null,
        -- A departed flight may have none as well, if its contract allows it.
        constraint cancelled_without_delay check (departed or delay_minutes is null)
    )""",
    # Of earlier versions: it stopped the view at the first departure without a delay.
    "alter table live.flights drop constraint if exists flights_check",
    "create index if not exists flights_by_hour on live.flights (hour, origin)",
    # The windows: airport-hours of event time.
    """create or replace view live.airport_hours as
        select origin, hour,
            count(*) filter (where departed) as departures,
            coalesce(sum(delay_minutes), 0) as delay_minutes,
            cast(sum(delay_minutes) as double precision) / nullif(count(delay_minutes), 0) as avg_delay_minutes,
            count(*) filter (where not departed) as cancellations
        from live.flights
        group by origin, hour""",
    "grant select, insert, update on live.flights to sluice_live",
    "grant select on live.flights, live.airport_hours to sluice_reader",
)


def provision(settings: Settings) -> None:
    """Creates the tables and grants access to them. Idempotent; run after ``sluice.warehouse.schema.provision``.

    An external warehouse without the administrator's password is not changed.

    Raises:
        TransientError: the server is down.
    """
    if not can_provision(settings):
        return
    with connect(settings, "postgres") as warehouse:
        lock_provisioning(warehouse)
        for statement in _STATEMENTS:
            warehouse.execute(statement)
