"""The lake's own proof: every partition's commits follow each other, and what they recorded is what the files hold.

Compared are the ranges that commits name in their metadata with the rows of the table's newest version, so that
compaction makes no difference. A hash covers the values; keys, headers and timestamps have none.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sluice.lake.chunk import value_hash
from sluice.lake.layout import empty_id, transaction_id
from sluice.lake.ranges import Place, Recorded, follow, grouped, read_ledger
from sluice.lake.scan import TableScan
from sluice.lake.table import no_table, store_fault

GROUP_BYTES = 64 << 20
"""Bytes of rows that are looked at together."""


@dataclass
class Verification:
    """What was found in one table."""

    uri: str
    version: int = 0
    oldest: int = 0
    """The first version that the log still has."""
    commits: int = 0
    ranges: int = 0
    files: int = 0
    rows: int = 0
    empty: int = 0
    """Offsets that hold no record, as recorded."""
    gaps: int = 0
    overlaps: int = 0
    doubled: int = 0
    """Rows too many."""
    missing: int = 0
    """Rows too few."""
    wrong_hashes: int = 0
    unproved: int = 0
    """Offsets whose commits were cleaned from the log: they were counted, not compared with hashes."""
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """The figures, what they do not cover, and a line per fault."""
        lines = [
            f"{name}: version {self.version}, {self.commits:,} commits, {self.ranges:,} ranges, {self.rows:,} rows in "
            f"{self.files:,} files, {self.empty:,} offsets without a record; {self.gaps} gaps, "
            f"{self.overlaps} overlaps, {self.doubled} doubled, {self.missing} missing, "
            f"{self.wrong_hashes} wrong hashes; {self.seconds:.1f} s"
        ]
        if self.oldest:
            lines.append(
                f"{name}: versions before {self.oldest} are cleaned from the log: {self.unproved:,} offsets are only "
                "counted, each once, without their commits' ranges and hashes"
            )
        lines.extend(f"{name}: {fault}" for fault in self.faults)
        return "\n".join(lines)


def verify(uri: str, options: dict[str, str]) -> Verification:
    """Checks a table at its newest version.

    Args:
        uri: where it is.
        options: delta-rs's, for reading it.

    Raises:
        TransientError: there is no such table, or the store does not answer.
        TerminalError: the store refuses.
    """
    started = time.monotonic()
    try:
        table = DeltaTable(uri, storage_options=options)
        history = table.history()
        scan = TableScan(table)
    except TableNotFoundError as error:
        raise no_table(uri) from error
    except (DeltaError, OSError) as error:
        raise store_fault(uri, error) from error
    ledger = read_ledger(history, table.version())
    result = Verification(
        uri, table.version(), ledger.oldest, ledger.commits, len(ledger.ranges), scan.files, faults=ledger.faults
    )
    held = scan.counts()
    result.rows = sum(held.values())
    within: dict[Place, int] = dict.fromkeys(held, 0)
    spans: dict[Place, list[tuple[int, int]]] = {}
    known = ledger.places()
    limit = max(1, int(GROUP_BYTES // scan.row_bytes()))
    for place in sorted({*held, *known}):
        head = table.transaction_version(transaction_id(*place)) or 0
        empty = table.transaction_version(empty_id(*place)) or 0
        chain = follow(known.get(place, []), head, whole=ledger.oldest == 0)
        result.gaps += len(chain.gaps)
        result.overlaps += len(chain.overlaps)
        result.empty += empty
        result.faults += chain.gaps + chain.overlaps
        spans[place] = _spans(chain.base, known.get(place, []))
        if chain.base:
            result.unproved += chain.base
            stated = chain.base - (empty - chain.empty)
            within[place] = within.get(place, 0) + _count(scan, place, chain.base, stated, limit, result)
    for group in grouped(ledger.ranges, limit):
        for place, count in _compare(scan, group, result):
            within[place] = within.get(place, 0) + count
    # Ranges that overlap count rows twice, so that the counts say nothing.
    if result.overlaps or any(within.get(place, 0) != count for place, count in held.items()):
        _outside(scan, spans, result)
    result.faults = scan.faults + result.faults
    result.seconds = time.monotonic() - started
    return result


def _spans(base: int, ranges: Sequence[Recorded]) -> list[tuple[int, int]]:
    """The offsets that some range covers, as few spans as possible."""
    spans = [(0, base)] if base else []
    for first, following in sorted((each.first, each.next) for each in ranges):
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], following))
        else:
            spans.append((first, following))
    return spans


def _count(scan: TableScan, place: Place, base: int, stated: int, limit: int, result: Verification) -> int:
    """Counts the offsets below the log's beginning; returns the number of rows."""
    rows = different = 0
    for first in range(0, base, limit):
        offsets, _ = scan.read({place: (first, min(first + limit, base))}, None)[place]
        rows += len(offsets)
        different += len(np.unique(offsets))
    where = f"partition {place[1]}, offsets 0 to {base - 1}"
    _tell(where, stated, rows, different, result)
    return rows


def _compare(scan: TableScan, group: Sequence[Recorded], result: Verification) -> Iterator[tuple[Place, int]]:
    """Compares ranges with the rows that the files hold; yields how many rows each of them has."""
    spans: dict[Place, tuple[int, int]] = {}
    for each in group:
        first, following = spans.get(each.place, (each.first, each.next))
        spans[each.place] = (min(first, each.first), max(following, each.next))
    found = scan.read(spans, "value")
    for each in group:
        offsets, values = found[each.place]
        start, end = np.searchsorted(offsets, [each.first, each.next])
        mine = offsets[start:end]
        agrees = _tell(each.text(), each.rows, len(mine), len(np.unique(mine)), result)
        if agrees and values is not None and value_hash(values.slice(start, end - start)) != each.hash:
            result.wrong_hashes += 1
            result.faults.append(f"{each.text()}: the hash of its values is not the recorded one")
        yield each.place, len(mine)


def _tell(where: str, stated: int, rows: int, different: int, result: Verification) -> bool:
    """Reports rows too many and too few; says whether there are none."""
    if rows > different:
        result.doubled += rows - different
        result.faults.append(f"{where}: {rows - different} rows are doubled")
    if different < stated:
        result.missing += stated - different
        result.faults.append(f"{where}: {stated - different} of {stated} recorded rows are missing")
    if different > stated:
        result.doubled += different - stated
        result.faults.append(f"{where}: {different - stated} rows more than the {stated} recorded")
    return rows == different == stated


def _outside(scan: TableScan, spans: dict[Place, list[tuple[int, int]]], result: Verification) -> None:
    for place, (count, lowest) in sorted(scan.outside(spans).items()):
        result.doubled += count
        result.faults.append(f"partition {place[1]}: {count} rows from offset {lowest} on lie in no commit's range")
