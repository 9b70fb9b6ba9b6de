"""A stream whose lake is written without Kafka, so that a test controls every commit, and the check of its load."""

import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.warehouse import connect
from tests.fixtures.servers import Stream

FIRST_DAY = date(2013, 1, 1)
DATES = 3
INVALID = (b"nope", b'{"event_id": "x"}', None)
"""Values that are invalid under any contract."""

Record = tuple[int, bool]
"""The index of a record's date, below ``DATES``, and whether the record is valid."""


class LoadHarness:
    """A stream's table in the lake, and the rows that the warehouse must have after a load."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.settings = stream.settings
        self.contract = stream.contract
        self.topic_id = str(uuid.uuid4())
        self.valid: dict[tuple[int, int], tuple[str, date]] = {}
        """Event id and date of the valid records, by partition and offset."""
        self.invalid: dict[tuple[int, int], date] = {}
        """Date of the invalid records, by partition and offset."""
        self.next_offsets: dict[int, int] = defaultdict(int)
        """The lake's next offset per partition."""
        self._table = LakeTable(table_uri(self.settings, stream.name), storage_options(self.settings, "writer"))
        self._table.create()

    def append(self, commit: Mapping[int, Sequence[Record]]) -> None:
        """Makes one commit with records of some partitions."""
        chunks = []
        for partition, records in commit.items():
            start_offset = self.next_offsets[partition]
            offsets = range(start_offset, start_offset + len(records))
            values, times = [], []
            for offset, (day, is_valid) in zip(offsets, records, strict=True):
                moment = datetime(2013, 1, 1, 10, 15, tzinfo=UTC) + timedelta(days=day, seconds=offset)
                record_id = (partition, offset)
                if is_valid:
                    self.valid[record_id] = (f"{partition}-{offset}", moment.date())
                    event = {"event_id": f"{partition}-{offset}", "sensor": uuid.uuid4().hex, "reading": offset}
                    values.append(json.dumps(event | {"read_at": moment.isoformat()}).encode())
                else:
                    self.invalid[record_id] = moment.date()
                    values.append(INVALID[offset % len(INVALID)])
                times.append(int(moment.timestamp() * 1000))
            nulls = [None] * len(values)
            rows = record_columns(self.topic_id, partition, offsets, times, nulls, values, nulls)
            self.next_offsets[partition] = offsets.stop
            chunks.append(Chunk(self.topic_id, partition, start_offset, offsets.stop, rows))
        assert len(self._table.append(chunks).committed) == len(chunks)

    def fill(self, commits: int = 4, records: int = 50) -> None:
        """Makes commits with records of every partition, on all dates; every seventh record is invalid."""
        for _ in range(commits):
            self.append(
                {
                    partition: [(n % DATES, n % 7 != 6) for n in range(records)]
                    for partition in range(self.contract.topic.partitions)
                }
            )

    def ledger(self) -> dict[int, int]:
        """Returns the warehouse's next offset per partition; requires contiguous entries from offset 0."""
        next_offsets: dict[int, int] = {}
        for partition, entries in itertools.groupby(
            self._query(
                "select partition, start_offset, next_offset from ops.loads where stream = %s"
                " order by partition, next_offset"
            ),
            key=lambda row: int(str(row[0])),
        ):
            expected: int | None = None
            for _, start_offset, next_offset in entries:
                assert start_offset == expected
                expected = int(str(next_offset))
            next_offsets[partition] = expected or 0
        return {partition: next_offset for partition, next_offset in next_offsets.items() if next_offset}

    def check(self, complete: bool = True) -> str:
        """Compares the warehouse with the lake, up to the ledger's next offsets; returns the counts as text.

        Args:
            complete: whether the ledger must have reached the lake's next offsets.
        """
        loaded = self.ledger()
        if complete:
            assert loaded == {partition: offset for partition, offset in self.next_offsets.items() if offset}
        raw = self._query(sql.SQL("select _partition, _offset, event_id, _event_date from {}").format(self._raw_table))
        assert sorted(raw) == sorted(
            (*record_id, *row) for record_id, row in self.valid.items() if record_id[1] < loaded.get(record_id[0], 0)
        )
        quarantine = self._query('select partition, "offset", event_date from raw.quarantine where stream = %s')
        assert sorted(quarantine) == sorted(
            (*record_id, day) for record_id, day in self.invalid.items() if record_id[1] < loaded.get(record_id[0], 0)
        )
        stale = {row[0] for row in self._query("select event_date from ops.stale_dates where stream = %s")}
        assert stale >= {row[3] for row in raw} | {row[2] for row in quarantine}
        dates = self._query("select event_date, rows, quarantined from ops.dates where stream = %s")
        assert {day: (rows, quarantined) for day, rows, quarantined in dates if rows or quarantined} == {
            day: (sum(row[3] == day for row in raw), sum(row[2] == day for row in quarantine))
            for day in {row[3] for row in raw} | {row[2] for row in quarantine}
        }
        return f"{len(raw)} rows exactly once, {len(quarantine)} in quarantine"

    @property
    def _raw_table(self) -> sql.Identifier:
        return sql.Identifier("raw", self.contract.table)

    def _query(self, query: "str | sql.Composed") -> list[tuple[object, ...]]:
        with connect(self.settings, "reader") as reader:
            if isinstance(query, str):
                return reader.execute(query.encode(), (self.stream.name,)).fetchall()
            return reader.execute(query).fetchall()
