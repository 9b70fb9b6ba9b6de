"""The proof: Kafka's offsets, the lake's commits, the warehouse's rows and its quarantine, compared at one cut.

The cut is where Kafka ended when the comparison began. What comes after it does not count, so that the proof can be
made while events flow; what came before it must be everywhere, exactly once.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import cast

import pyarrow.compute as pc
from psycopg import sql

from sluice.contracts import Contract
from sluice.lake.layout import PARTITION_COLUMN, empty_id, transaction_id
from sluice.lake.reader import LakeReader
from sluice.load.plan import Place, Range, within
from sluice.settings import Settings
from sluice.topics import kafka_ranges
from sluice.warehouse import connect

log = logging.getLogger(__name__)

Tally = dict[tuple[str, int, date], tuple[int, int]]
"""Per topic id, partition and event date: rows, and the sum of their offsets."""


@dataclass(frozen=True)
class DateRow:
    """One stream's date: rows below the cut."""

    stream: str
    event_date: date
    lake: int
    raw: int
    quarantined: int
    agrees: bool


@dataclass
class Reconciliation:
    """What the comparison found."""

    rows: list[DateRow] = field(default_factory=list)
    offsets: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Per stream: Kafka's offsets below the cut, how many of them the lake has, and how many the ledger has."""
    faults: list[str] = field(default_factory=list)
    """What disagrees, in words."""
    notes: list[str] = field(default_factory=list)
    """What explains a difference between the figures, and is no fault."""
    unbuilt: int = 0
    """Touched dates that the marts do not show yet; no fault."""

    @property
    def agrees(self) -> bool:
        """Whether everything below the cut is everywhere, once."""
        return not self.faults

    def text(self) -> str:
        """The comparison as a table per stream and date, and what disagrees in words."""
        lines = [f"{'stream':<20} {'date':<10} {'lake':>10} {'raw':>10} {'quarantine':>10}  verdict"]
        for row in self.rows:
            verdict = "agrees" if row.agrees else "DISAGREES"
            lines.append(
                f"{row.stream:<20} {row.event_date} {row.lake:>10,} {row.raw:>10,} {row.quarantined:>10,}  {verdict}"
            )
        lines.append("")
        lines.append(f"{'stream':<20} {'kafka':>12} {'lake':>12} {'warehouse':>12}")
        for stream, counts in self.offsets.items():
            lines.append(f"{stream:<20} " + " ".join(f"{count:>12,}" for count in counts))
        lines.append("")
        lines.extend(self.notes)
        lines.extend(self.faults)
        if self.unbuilt:
            lines.append(f"{self.unbuilt} touched dates wait for the next transform")
        lines.append("everything agrees" if self.agrees else f"{len(self.faults)} disagreements")
        return "\n".join(lines)


def reconcile(settings: Settings, contracts: dict[str, Contract], patience: float = 300.0) -> Reconciliation:
    """Compares all streams at one cut.

    Args:
        settings: where the servers are.
        contracts: the streams.
        patience: seconds to wait for what is in flight, which periodic loads bring; what has not arrived by then is
            reported as a disagreement.

    Raises:
        TransientError, TerminalError: a server does not answer, or refuses.
    """
    result = Reconciliation()
    cut: dict[str, dict[Place, tuple[int, int]]] = {stream: {} for stream in contracts}
    for held in kafka_ranges(settings, list(contracts)):
        cut[held.stream][held.topic_id, held.partition] = (held.start, held.end)
    _wait(settings, cut, patience)
    for stream, contract in contracts.items():
        _compare(settings, contract, cut[stream], result)
    with connect(settings, "reader") as warehouse:
        pending = warehouse.execute(
            "select count(distinct (stream, event_date)) from ops.touched_dates where built_at is null"
        ).fetchone()
        result.unbuilt = int(str(pending[0])) if pending else 0
    return result


def _wait(settings: Settings, cut: dict[str, dict[Place, tuple[int, int]]], patience: float) -> None:
    deadline = time.monotonic() + patience
    told = 0
    while True:
        heads = _ledger_heads(settings)
        flying = sum(
            max(end - heads.get(stream, {}).get(place, 0), 0)
            for stream, places in cut.items()
            for place, (_, end) in places.items()
        )
        if not flying or time.monotonic() > deadline:
            return
        if flying != told:
            log.info("%d events are in flight; the next loads bring them", flying)
            told = flying
        time.sleep(1.0)


def _ledger_heads(settings: Settings) -> dict[str, dict[Place, int]]:
    """The ledger's next offset per stream and place, of places that have any."""
    heads: dict[str, dict[Place, int]] = {}
    with connect(settings, "reader") as warehouse:
        for stream, topic_id, partition, head in warehouse.execute(
            "select stream, topic_id, partition, max(next_offset) from ops.loads group by 1, 2, 3"
        ):
            if head:
                heads.setdefault(str(stream), {})[str(topic_id), int(str(partition))] = int(str(head))
    return heads


def _compare(
    settings: Settings, contract: Contract, kafka: Mapping[Place, tuple[int, int]], result: Reconciliation
) -> None:
    stream = contract.stream
    heads = _ledger_heads(settings).get(stream, {})
    # A topic that is gone from Kafka is compared as far as the ledger goes.
    ends = heads | {place: end for place, (_, end) in kafka.items() if end}
    lake_tally, lake_count = _lake(settings, stream, ends, result)
    raw, quarantined = _warehouse(settings, contract, ends)
    for place, end in sorted(ends.items()):
        if heads.get(place, 0) < end:
            result.faults.append(
                f"{stream}/{place[1]}: the warehouse has offsets up to {heads.get(place, 0)}, Kafka up to {end}"
            )
    for place, (start, _) in sorted(kafka.items()):
        if start > heads.get(place, 0):
            result.faults.append(f"{stream}/{place[1]}: Kafka has deleted offsets below {start}, not all were loaded")
    dates = sorted({key[2] for tally in (lake_tally, raw, quarantined) for key in tally})
    for day in dates:
        keys = {key for tally in (lake_tally, raw, quarantined) for key in tally if key[2] == day}
        agrees = True
        for key in sorted(keys):
            rows = raw.get(key, (0, 0))
            bad = quarantined.get(key, (0, 0))
            if lake_tally.get(key, (0, 0)) != (rows[0] + bad[0], rows[1] + bad[1]):
                agrees = False
                result.faults.append(
                    f"{stream}/{key[1]} {day}: the lake has {lake_tally.get(key, (0, 0))[0]} rows, the warehouse "
                    f"{rows[0]} and {bad[0]} in quarantine"
                    + ("" if lake_tally.get(key, (0, 0))[0] != rows[0] + bad[0] else ", of other offsets")
                )
        result.rows.append(DateRow(stream, day, _sum(lake_tally, day), _sum(raw, day), _sum(quarantined, day), agrees))
    ledger = sum(min(heads.get(place, 0), end) for place, end in ends.items())
    result.offsets[stream] = (sum(ends.values()), lake_count, ledger)


def _lake(settings: Settings, stream: str, ends: Mapping[Place, int], result: Reconciliation) -> tuple[Tally, int]:
    """The lake's tally below the cut; each offset must be there exactly once, and each head past it."""
    if not ends:
        return {}, 0
    reader = LakeReader(settings, stream)
    heads = {place: reader.transaction(transaction_id(*place)) for place in ends}
    # Up to the heads, as far as the lake's own count of offsets without a record goes.
    wanted = within([Range(*place, 0, max(end, heads[place])) for place, end in ends.items()])
    rows = reader.rows(wanted, ["topic_id", "partition", "offset", PARTITION_COLUMN])
    distinct = 0
    for place, end in sorted(ends.items()):
        _, partition = place
        offsets = rows.filter((pc.field("topic_id") == place[0]) & (pc.field("partition") == partition))["offset"]
        different = pc.count_distinct(offsets).as_py()
        distinct += pc.count_distinct(offsets.filter(pc.less(offsets, end))).as_py()
        head = heads[place]
        empty = reader.transaction(empty_id(*place))
        if head < end:
            result.faults.append(f"{stream}/{partition}: the lake has offsets up to {head}, Kafka up to {end}")
        if len(offsets) != different:
            result.faults.append(f"{stream}/{partition}: {len(offsets) - different} rows of the lake are doubled")
        if different < head - empty:
            result.faults.append(f"{stream}/{partition}: {head - empty - different} offsets are missing in the lake")
        if different > head - empty:
            result.faults.append(f"{stream}/{partition}: {different - head + empty} rows of the lake are no commit's")
        if empty:
            result.notes.append(
                f"{stream}/{partition}: {empty} offsets below {head} hold no record, as the lake's commits say: "
                "recorded gaps, aborted transactions or Kafka's marks"
            )
    rows = rows.filter(within([Range(*place, 0, end) for place, end in ends.items()]))
    grouped = rows.group_by(["topic_id", "partition", PARTITION_COLUMN]).aggregate(
        [([], "count_all"), ("offset", "sum")]
    )
    tally = {
        (row["topic_id"], row["partition"], row[PARTITION_COLUMN]): (row["count_all"], row["offset_sum"])
        for row in grouped.to_pylist()
    }
    return tally, distinct


def _warehouse(settings: Settings, contract: Contract, ends: Mapping[Place, int]) -> tuple[Tally, Tally]:
    """Raw rows and quarantined rows below the cut."""
    cut = sql.SQL("unnest(%s::text[], %s::int[], %s::bigint[]) as cut (topic_id, partition, next_offset)")
    raw = sql.SQL(
        "select _topic_id, _partition, _event_date, count(*), sum(_offset) from {} join {}"
        " on _topic_id = cut.topic_id and _partition = cut.partition and _offset < cut.next_offset group by 1, 2, 3"
    ).format(sql.Identifier("raw", contract.table), cut)
    quarantine = sql.SQL(
        'select q.topic_id, q.partition, event_date, count(*), sum("offset") from raw.quarantine q join {}'
        ' on q.topic_id = cut.topic_id and q.partition = cut.partition and "offset" < cut.next_offset'
        " where stream = %s group by 1, 2, 3"
    ).format(cut)
    places = ([place[0] for place in ends], [place[1] for place in ends], list(ends.values()))
    with connect(settings, "reader") as warehouse:
        warehouse.execute("set transaction isolation level repeatable read")
        return _tally(warehouse.execute(raw, places)), _tally(warehouse.execute(quarantine, (*places, contract.stream)))


def _tally(rows: Iterable[Sequence[object]]) -> Tally:
    return {
        (str(topic_id), int(str(partition)), cast(date, day)): (int(str(count)), int(str(offsets)))
        for topic_id, partition, day, count, offsets in rows
    }


def _sum(tally: Tally, day: date) -> int:
    return sum(rows for key, (rows, _) in tally.items() if key[2] == day)
