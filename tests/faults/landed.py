"""A stream whose lake is written without Kafka, so that a test says what a commit holds; and the check of its load."""

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
from tests.servers import Stream

FIRST_DAY = date(2013, 1, 1)
DATES = 3
BAD = (b"nope", b'{"event_id": "x"}', None)
"""Values that fit no contract."""

Record = tuple[int, bool]
"""On which of the ``DATES`` a record is, and whether it fits its contract."""


class Landed:
    """A stream's table in the lake, and what the warehouse must make of it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.settings = stream.settings
        self.contract = stream.contract
        self.topic_id = str(uuid.uuid4())
        self.good: dict[tuple[int, int], tuple[str, date]] = {}
        """Event id and date of the records that fit, by partition and offset."""
        self.bad: dict[tuple[int, int], date] = {}
        self.heads: dict[int, int] = defaultdict(int)
        self._table = LakeTable(table_uri(self.settings, stream.name), storage_options(self.settings, "writer"))
        self._table.create()

    def append(self, commit: Mapping[int, Sequence[Record]]) -> None:
        """One commit with records of some partitions."""
        chunks = []
        for partition, records in commit.items():
            first = self.heads[partition]
            offsets = range(first, first + len(records))
            values, times = [], []
            for offset, (day, fits) in zip(offsets, records, strict=True):
                moment = datetime(2013, 1, 1, 10, 15, tzinfo=UTC) + timedelta(days=day, seconds=offset)
                place = (partition, offset)
                if fits:
                    self.good[place] = (f"{partition}-{offset}", moment.date())
                    event = {"event_id": f"{partition}-{offset}", "sensor": uuid.uuid4().hex, "reading": offset}
                    values.append(json.dumps(event | {"read_at": moment.isoformat()}).encode())
                else:
                    self.bad[place] = moment.date()
                    values.append(BAD[offset % len(BAD)])
                times.append(int(moment.timestamp() * 1000))
            nothing = [None] * len(values)
            rows = record_columns(self.topic_id, partition, offsets, times, nothing, values, nothing)
            self.heads[partition] = offsets.stop
            chunks.append(Chunk(self.topic_id, partition, first, offsets.stop, rows))
        assert len(self._table.append(chunks).committed) == len(chunks)

    def fill(self, commits: int = 4, records: int = 50) -> None:
        """So many commits with so many records of each partition, on all dates, each seventh record bad."""
        for _ in range(commits):
            self.append(
                {
                    partition: [(n % DATES, n % 7 != 6) for n in range(records)]
                    for partition in range(self.contract.topic.partitions)
                }
            )

    def ledger(self) -> dict[int, int]:
        """The warehouse's next offset per partition; each partition's entries must follow each other from 0."""
        heads: dict[int, int] = {}
        for partition, entries in itertools.groupby(
            self._ask(
                "select partition, first_offset, next_offset from ops.loads where stream = %s"
                " order by partition, next_offset"
            ),
            key=lambda row: int(str(row[0])),
        ):
            following: int | None = None
            for _, first, after in entries:
                assert first == following
                following = int(str(after))
            heads[partition] = following or 0
        return {partition: head for partition, head in heads.items() if head}

    def check(self, whole: bool = True) -> str:
        """Compares the warehouse with what was written, up to the ledger's heads; returns the figures in words.

        Args:
            whole: the ledger must also have reached the lake's heads.
        """
        heads = self.ledger()
        if whole:
            assert heads == {partition: head for partition, head in self.heads.items() if head}
        raw = self._ask(sql.SQL("select _partition, _offset, event_id, _event_date from {}").format(self._raw))
        assert sorted(raw) == sorted(
            (*place, *row) for place, row in self.good.items() if place[1] < heads.get(place[0], 0)
        )
        quarantine = self._ask('select partition, "offset", event_date from raw.quarantine where stream = %s')
        assert sorted(quarantine) == sorted(
            (*place, day) for place, day in self.bad.items() if place[1] < heads.get(place[0], 0)
        )
        touched = {row[0] for row in self._ask("select event_date from ops.touched_dates where stream = %s")}
        assert touched >= {row[3] for row in raw} | {row[2] for row in quarantine}
        dates = self._ask("select event_date, rows, quarantined from ops.dates where stream = %s")
        assert {day: (rows, bad) for day, rows, bad in dates if rows or bad} == {
            day: (sum(row[3] == day for row in raw), sum(row[2] == day for row in quarantine))
            for day in {row[3] for row in raw} | {row[2] for row in quarantine}
        }
        return f"{len(raw)} rows once each, {len(quarantine)} in quarantine"

    @property
    def _raw(self) -> sql.Identifier:
        return sql.Identifier("raw", self.contract.table)

    def _ask(self, query: "str | sql.Composed") -> list[tuple[object, ...]]:
        with connect(self.settings, "reader") as reader:
            if isinstance(query, str):
                return reader.execute(query.encode(), (self.stream.name,)).fetchall()
            return reader.execute(query).fetchall()
