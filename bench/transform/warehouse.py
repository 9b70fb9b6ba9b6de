"""A temporary Postgres with raw tables filled without Kafka and the lake; a transform sees no difference."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from psycopg import sql

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_settings_file
from infra.supervision.platform import Platform
from producers.events import Event
from sluice.contracts import Contract, load_contracts
from sluice.load.columns import read_columns
from sluice.settings import Settings
from sluice.warehouse import connect, schema
from sluice.warehouse.copy import copy_rows

_TOPIC = "bench"


@contextmanager
def postgres() -> Iterator[Settings]:
    """Starts a Postgres with an empty warehouse and yields its settings."""
    with TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "settings.env"
        ensure_settings_file(
            file, {"home": Path(folder) / "home", **dict(zip(PORTS, free_ports(len(PORTS)), strict=True))}
        )
        settings = Settings(_env_file=file)  # type: ignore[call-arg]
        platform = Platform(settings, file)
        try:
            platform.start(["postgres"])
            schema.provision(settings, load_contracts(settings.contracts))
            yield settings
        finally:
            platform.stop()


class RawTables:
    """Writes events to the raw tables and marks their dates as stale, as loads do; every event gets a new offset."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.contracts: dict[str, Contract] = load_contracts(settings.contracts)
        self._next_offsets: Counter[str] = Counter()

    def write(self, events: Iterable[Event]) -> None:
        """Writes events and marks their dates as stale, in one transaction."""
        by_stream: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_stream[event.stream].append(event)
        stale: list[dict[str, object]] = []
        with connect(self.settings, "loader") as connection:
            for stream, stream_events in by_stream.items():
                rows = self._rows(stream, stream_events)
                copy_rows(connection, sql.Identifier("raw", self.contracts[stream].table), rows)
                dates = rows["_event_date"].unique().sort().to_pylist()
                stale += [{"stream": stream, "event_date": day} for day in dates]
                self._next_offsets[stream] += len(stream_events)
            if stale:
                copy_rows(connection, sql.Identifier("ops", "stale_dates"), pa.Table.from_pylist(stale))

    def mark_stale(self, days: Iterable[date]) -> None:
        """Marks dates of every stream as stale, without writing a row."""
        with connect(self.settings, "loader") as connection:
            for stream in self.contracts:
                for day in days:
                    connection.execute(
                        "insert into ops.stale_dates (stream, event_date) values (%s, %s)", (stream, day)
                    )

    def _rows(self, stream: str, events: list[Event]) -> pa.Table:
        """Returns the raw rows of the valid events."""
        timestamps = pa.array([event.timestamp * 1_000 for event in events], pa.timestamp("us", "UTC"))
        values = pa.array([event.value for event in events], pa.binary())
        records = pa.table({"value": values, "timestamp": timestamps, "key": pa.nulls(len(events), pa.binary())})
        columns = read_columns(self.contracts[stream], records)
        start_offset = self._next_offsets[stream]
        metadata = {
            "_event_date": timestamps.cast(pa.date32()),
            "_topic_id": pa.repeat(_TOPIC, len(events)),
            "_partition": pa.repeat(pa.scalar(0, pa.int32()), len(events)),
            "_offset": pa.array(range(start_offset, start_offset + len(events)), pa.int64()),
            "_timestamp": timestamps,
            "_loaded_at": pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), len(events)),
        }
        metadata_rows = pa.table(metadata).filter(columns.is_valid)
        rows = columns.rows
        for name in metadata_rows.column_names:
            rows = rows.append_column(name, metadata_rows[name])
        return rows
