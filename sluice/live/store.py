"""Postgres holds the live view's state and how far it has read, which change together in one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import LiteralString

import psycopg

from sluice.live.outcome import Outcome
from sluice.settings import Settings
from sluice.warehouse.connect import connect, refusal

Head = tuple[str, int]
"""A topic's id and a partition of it."""

_FLIGHTS: LiteralString = """
    insert into live.flights as known
        (flight_id, origin, hour, departed, delay_minutes, topic_id, partition, "offset")
    select * from unnest(
        %s::text[], %s::text[], %s::timestamptz[], %s::boolean[], %s::integer[], %s::text[], %s::integer[], %s::bigint[]
    )
    on conflict (flight_id) do update set
        origin = excluded.origin, hour = excluded.hour, departed = excluded.departed,
        delay_minutes = excluded.delay_minutes,
        topic_id = excluded.topic_id, partition = excluded.partition, "offset" = excluded."offset"
    -- The order of Outcome.rank.
    where (not excluded.departed, excluded.partition, excluded."offset", excluded.topic_id)
        < (not known.departed, known.partition, known."offset", known.topic_id)
"""
# Somebody else may have read on meanwhile: what is behind the larger offset is in the state either way.
_HEADS: LiteralString = """
    insert into live.partitions as known (stream, topic_id, partition, next_offset)
    select * from unnest(%s::text[], %s::text[], %s::integer[], %s::bigint[])
    on conflict (topic_id, partition) do update set
        next_offset = greatest(known.next_offset, excluded.next_offset)
"""


class Store:
    """A connection as the role ``live``. Every method raises a TransientError when Postgres is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = connect(settings, "live")

    def heads(self, topic_ids: Iterable[str]) -> dict[Head, int]:
        """The offset to go on at, per partition that was read before."""
        with self._transaction() as cursor:
            cursor.execute(
                "select topic_id, partition, next_offset from live.partitions where topic_id = any(%s)",
                (list(topic_ids),),
            )
            return {(str(topic_id), int(str(partition))): int(str(head)) for topic_id, partition, head in cursor}

    def add(self, outcomes: Sequence[Outcome], heads: Mapping[Head, int], streams: Mapping[str, str]) -> None:
        """Brings what records say into the state, with how far they were read: both or neither.

        Args:
            outcomes: at most one of a flight, in the order of flights: so two processes never block each other.
            heads: the next offset of each partition that was read, where none of those before it is missing.
            streams: of each topic, by its id.
        """
        places = sorted(heads)
        with self._transaction() as cursor:
            if outcomes:
                cursor.execute(_FLIGHTS, [list(column) for column in zip(*outcomes, strict=True)])
            cursor.execute(
                _HEADS,
                (
                    [streams[topic_id] for topic_id, _ in places],
                    [topic_id for topic_id, _ in places],
                    [partition for _, partition in places],
                    [heads[place] for place in places],
                ),
            )

    def beat(self) -> None:
        """Says that the process is there, also when nothing comes in."""
        with self._transaction() as cursor:
            cursor.execute("update live.heartbeat set seen_at = now()")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> "Iterator[psycopg.Cursor[tuple[object, ...]]]":
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.OperationalError as error:
            raise refusal(self._settings, "live", error) from error
