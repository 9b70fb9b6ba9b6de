"""A Postgres of its own, and raw tables filled without Kafka and the lake: a transform sees no difference."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from psycopg import sql

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
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
    """Settings of a running Postgres with an empty warehouse."""
    with TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "settings.env"
        ensure_environment(
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


class Filler:
    """Writes events into the raw tables and marks their dates as touched, as loads do: each offset once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.contracts: dict[str, Contract] = load_contracts(settings.contracts)
        self._offsets: Counter[str] = Counter()

    def fill(self, events: Iterable[Event]) -> dict[str, set[date]]:
        """Writes events in one transaction; returns the dates per stream that this touched."""
        by_stream: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_stream[event.stream].append(event)
        touched: dict[str, set[date]] = {}
        with connect(self.settings, "loader") as connection:
            for stream, some in by_stream.items():
                rows = self._rows(stream, some)
                copy_rows(connection, sql.Identifier("raw", self.contracts[stream].table), rows)
                touched[stream] = set(rows["_event_date"].unique().to_pylist())
                self._offsets[stream] += len(some)
            marks = [{"stream": stream, "event_date": day} for stream, days in touched.items() for day in sorted(days)]
            if marks:
                copy_rows(connection, sql.Identifier("ops", "touched_dates"), pa.Table.from_pylist(marks))
        return touched

    def touch(self, days: Iterable[date]) -> None:
        """Marks dates of every stream as touched, without a new row."""
        with connect(self.settings, "loader") as connection:
            for stream in self.contracts:
                for day in days:
                    connection.execute(
                        "insert into ops.touched_dates (stream, event_date) values (%s, %s)", (stream, day)
                    )

    def _rows(self, stream: str, events: list[Event]) -> pa.Table:
        """Raw rows of events that fit their contract."""
        stamps = pa.chunked_array([pa.array([event.timestamp * 1_000 for event in events], pa.timestamp("us", "UTC"))])
        values = pa.chunked_array([pa.array([event.value for event in events], pa.binary())])
        columns = read_columns(self.contracts[stream], values, stamps)
        first = self._offsets[stream]
        place = {
            "_event_date": stamps.cast(pa.date32()),
            "_topic_id": pa.repeat(_TOPIC, len(events)),
            "_partition": pa.repeat(pa.scalar(0, pa.int32()), len(events)),
            "_offset": pa.array(range(first, first + len(events)), pa.int64()),
            "_timestamp": stamps,
            "_loaded_at": pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), len(events)),
        }
        kept = pa.table(place).filter(columns.fits)
        rows = columns.rows
        for name in kept.column_names:
            rows = rows.append_column(name, kept[name])
        return rows
