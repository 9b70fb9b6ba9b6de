"""Writes the states of flights to ``live.flights``."""

from collections.abc import Mapping, Sequence
from typing import LiteralString

from flights.live_view.flight_state import STREAMS, flight_state, resolve
from sluice.contracts import Contract
from sluice.live.view import Cursor, Record

_UPSERT: LiteralString = """
    insert into live.flights as known
        (flight_id, origin, hour, departed, delay_minutes, topic_id, partition, "offset")
    select * from unnest(
        %s::text[], %s::text[], %s::timestamptz[], %s::boolean[], %s::integer[], %s::text[], %s::integer[], %s::bigint[]
    )
    on conflict (flight_id) do update set
        origin = excluded.origin, hour = excluded.hour, departed = excluded.departed,
        delay_minutes = excluded.delay_minutes,
        topic_id = excluded.topic_id, partition = excluded.partition, "offset" = excluded."offset"
    -- The order of FlightState.precedence.
    where (not excluded.departed, excluded.partition, excluded."offset", excluded.topic_id)
        < (not known.departed, known.partition, known."offset", known.topic_id)
"""


class FlightsView:
    """A row per flight, from its departure or cancellation."""

    streams: tuple[str, ...] = STREAMS

    def apply(self, cursor: Cursor, contracts: Mapping[str, Contract], records: Sequence[Record]) -> None:
        """Upserts the flights of valid records, sorted by id so that two processes never deadlock."""
        states = (flight_state(contracts[record.stream], record) for record in records)
        resolved = resolve(state for state in states if state is not None)
        if resolved:
            cursor.execute(_UPSERT, [list(column) for column in zip(*resolved, strict=True)])
