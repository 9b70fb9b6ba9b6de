"""The lake's own proof: every partition's commits follow each other, and what they recorded is what the files hold.

Compared are the ranges that commits name in their metadata with the rows of the table's newest version, so that
compaction makes no difference. A hash covers the values; keys, headers and timestamps have none.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sluice.lake.chunk import value_hash
from sluice.lake.errors import NoTableError, store_fault
from sluice.lake.layout import empty_id, transaction_id
from sluice.lake.ranges import CommittedRange, PartitionKey, check_continuity, read_commit_history
from sluice.lake.scan import TableScan
from sluice.lake.spill_buffer import SpillBuffer

HELD_BYTES = 128 << 20
"""Bytes of rows that wait in memory until the rest of their range is read; more than that wait in temporary files."""


Offsets = npt.NDArray[np.int64]


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
        raise NoTableError(uri) from error
    except (DeltaError, OSError) as error:
        raise store_fault(uri, error) from error
    ledger = read_commit_history(history, table.version())
    result = Verification(
        uri, table.version(), ledger.oldest, ledger.commits, len(ledger.ranges), scan.files, faults=ledger.faults
    )
    states: dict[PartitionKey, _PartitionCheck] = {}
    known = ledger.places()

    def state(place: PartitionKey) -> _PartitionCheck:
        if place not in states:
            try:
                head = table.transaction_version(transaction_id(*place)) or 0
                empty = table.transaction_version(empty_id(*place)) or 0
            except (DeltaError, OSError) as error:
                raise store_fault(uri, error) from error
            states[place] = _PartitionCheck(known.get(place, []), head, empty, ledger.oldest == 0)
        return states[place]

    pieces = SpillBuffer(HELD_BYTES)
    try:
        for place in known:
            state(place)
        numbers = {id(each): number for number, each in enumerate(ledger.ranges)}
        checks = [_Check(each) for each in ledger.ranges]
        for batch in scan.batches(["topic_id", "partition", "offset", "value"]):
            result.rows += batch.num_rows
            for place, offsets, values in _by_place(batch):
                at = state(place)
                at.see(offsets)
                for each, start, end in at.within(offsets):
                    checks[numbers[id(each)]].add(
                        numbers[id(each)], offsets[start:end], values.slice(start, end - start), pieces
                    )
        for place in sorted(states):
            at = states[place]
            result.gaps += len(at.chain.gaps)
            result.overlaps += len(at.chain.overlaps)
            result.empty += at.empty
            result.faults += at.chain.gaps + at.chain.overlaps
            if base := at.chain.base:
                result.unproved += base
                where = f"partition {place[1]}, offsets 0 to {base - 1}"
                _tell(where, base - (at.empty - at.chain.empty), at.below, at.different, result)
        for number, check in enumerate(checks):
            check.end(number, pieces, result)
    finally:
        pieces.close()
    for place, at in sorted(states.items()):
        if at.outside:
            result.doubled += at.outside
            result.faults.append(
                f"partition {place[1]}: {at.outside} rows from offset {at.lowest} on lie in no commit's range"
            )
    result.faults = scan.faults + result.faults
    result.seconds = time.monotonic() - started
    return result


class _PartitionCheck:
    """A partition's ranges, and what was seen of its offsets outside them."""

    def __init__(self, ranges: Sequence[CommittedRange], head: int, empty: int, whole: bool) -> None:
        self.chain = check_continuity(ranges, head, whole)
        self.empty = empty
        self.below = 0
        """Rows below the log's beginning."""
        self.different = 0
        """Offsets of these."""
        self.outside = 0
        self.lowest = 0
        self._seen = np.zeros(-(-self.chain.base // 8), np.uint8)
        """A bit per offset below the log's beginning."""
        self._spans = _spans(self.chain.base, ranges)
        self._ranges = sorted(ranges, key=lambda each: each.start_offset)
        self._firsts = np.array([each.start_offset for each in self._ranges], np.int64)
        # Ranges that overlap need not end in the order in which they begin.
        self._ends = np.maximum.accumulate(np.array([each.next_offset for each in self._ranges], np.int64))

    def see(self, offsets: Offsets) -> None:
        """Counts ascending offsets that are in no range."""
        below = offsets[: np.searchsorted(offsets, self.chain.base)]
        if len(below):
            self.below += len(below)
            below = np.unique(below)
            bits = np.left_shift(np.uint8(1), (below & 7).astype(np.uint8))
            new = (self._seen[below >> 3] & bits) == 0
            np.bitwise_or.at(self._seen, below >> 3, bits)
            self.different += int(new.sum())
        inside = np.zeros(len(offsets), np.bool_)
        for first, following in self._spans:
            start, end = np.searchsorted(offsets, [first, following])
            inside[start:end] = True
        beyond = offsets[~inside]
        if len(beyond):
            self.lowest = min(self.lowest, int(beyond[0])) if self.outside else int(beyond[0])
            self.outside += len(beyond)

    def within(self, offsets: Offsets) -> Iterator[tuple[CommittedRange, int, int]]:
        """The ranges that hold any of the ascending offsets, with where these begin and end."""
        low = int(np.searchsorted(self._ends, offsets[0], "right"))
        high = int(np.searchsorted(self._firsts, offsets[-1], "right"))
        for each in self._ranges[low:high]:
            start, end = np.searchsorted(offsets, [each.start_offset, each.next_offset])
            if end > start:
                yield each, int(start), int(end)


class _Check:
    """One range against the rows that the files hold, which come in any order."""

    def __init__(self, stated: CommittedRange) -> None:
        self._stated = stated
        self._rows = 0
        self._proved = False

    def add(self, key: int, offsets: Offsets, values: pa.Array, pieces: SpillBuffer) -> None:
        """Takes rows of the range; once all are there, they are proved and let go."""
        self._rows += len(offsets)
        if self._proved:
            return
        pieces.add(key, offsets, values)
        if self._rows == self._stated.rows:
            rows = pieces.take(key)
            if _different(rows) == self._rows and value_hash(rows["value"]) == self._stated.hash:
                self._proved = True
            else:
                pieces.add(key, rows["offset"].to_numpy(), rows["value"].combine_chunks())

    def end(self, key: int, pieces: SpillBuffer, result: Verification) -> None:
        """Tells what is wrong with it."""
        where, stated = self._stated.text(), self._stated.rows
        if self._proved:
            _tell(where, stated, self._rows, stated, result)
            return
        rows = pieces.take(key)
        agrees = _tell(where, stated, self._rows, _different(rows), result)
        if agrees and value_hash(rows["value"]) != self._stated.hash:
            result.wrong_hashes += 1
            result.faults.append(f"{where}: the hash of its values is not the recorded one")


def _different(rows: pa.Table) -> int:
    return len(np.unique(rows["offset"].to_numpy()))


def _by_place(batch: pa.RecordBatch) -> Iterator[tuple[PartitionKey, Offsets, pa.Array]]:
    """A batch's offsets, ascending, and values, per partition."""
    # Rewritten files come as views, which few functions know.
    topics = batch["topic_id"].cast(pa.string()).dictionary_encode()
    codes, partitions, offsets = topics.indices.to_numpy(), batch["partition"].to_numpy(), batch["offset"].to_numpy()
    order = np.lexsort((offsets, partitions, codes))
    codes, partitions, offsets = codes[order], partitions[order], offsets[order]
    values = batch["value"].cast(pa.binary()).take(pa.array(order))
    starts = [0, *(np.flatnonzero((np.diff(codes) != 0) | (np.diff(partitions) != 0)) + 1).tolist(), len(order)]
    for start, end in pairwise(starts):
        if end > start:
            place = (topics.dictionary[int(codes[start])].as_py(), int(partitions[start]))
            yield place, offsets[start:end], values.slice(start, end - start)


def _spans(base: int, ranges: Sequence[CommittedRange]) -> list[tuple[int, int]]:
    """The offsets that some range covers, as few spans as possible."""
    spans = [(0, base)] if base else []
    for first, following in sorted((each.start_offset, each.next_offset) for each in ranges):
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], following))
        else:
            spans.append((first, following))
    return spans


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
