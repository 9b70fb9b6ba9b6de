"""Ranges of offsets: a row filter for them, those that the lake's commits record, and whether these are contiguous."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import pyarrow.compute as pc

from sluice.lake.layout import RANGES_KEY

PartitionKey = tuple[str, int]
"""A topic id and a partition number."""

_DATA_CHANGES = ("WRITE", "DELETE", "MERGE", "UPDATE", "RESTORE")
"""Delta's names of the operations that add or remove rows."""


@dataclass(frozen=True)
class Range:
    """Offsets of one partition, from ``start_offset`` (inclusive) to ``next_offset`` (exclusive)."""

    topic_id: str
    partition: int
    start_offset: int
    next_offset: int

    @property
    def key(self) -> PartitionKey:
        """The range's partition."""
        return self.topic_id, self.partition


def within(ranges: Sequence[Range]) -> pc.Expression:
    """Returns a filter for the lake's rows in any of the ranges."""
    return reduce(
        or_,
        (
            (pc.field("topic_id") == offsets.topic_id)
            & (pc.field("partition") == offsets.partition)
            & (pc.field("offset") >= offsets.start_offset)
            & (pc.field("offset") < offsets.next_offset)
            for offsets in ranges
        ),
        pc.scalar(False),
    )


def cut_ranges(remaining: dict[PartitionKey, Range], next_offsets: Mapping[PartitionKey, int]) -> list[Range]:
    """Removes the offsets below ``next_offsets`` from ``remaining`` and returns them."""
    removed = []
    for key, next_offset in next_offsets.items():
        whole = remaining.get(key)
        if whole is None or next_offset <= whole.start_offset:
            continue
        cut = min(next_offset, whole.next_offset)
        removed.append(Range(*key, whole.start_offset, cut))
        if cut == whole.next_offset:
            del remaining[key]
        else:
            remaining[key] = Range(*key, cut, whole.next_offset)
    return removed


class DateHash(NamedTuple):
    """How many rows a range has of one event date, and the hash of their values."""

    rows: int
    hash: str


@dataclass(frozen=True)
class CommittedRange:
    """One range of a commit, from ``start_offset`` (inclusive) to ``next_offset`` (exclusive).

    ``rows`` of its offsets have a record. ``hash`` covers their values, ``dates`` those of each event date. These are
    empty where they are not needed, and for commits of earlier versions of the platform.
    """

    version: int
    topic_id: str
    partition: int
    start_offset: int
    next_offset: int
    rows: int
    hash: str
    dates: Mapping[date, DateHash] = field(default_factory=dict)

    @property
    def key(self) -> PartitionKey:
        """The range's partition."""
        return self.topic_id, self.partition

    def text(self) -> str:
        """Returns the range as messages name it."""
        return (
            f"partition {self.partition}, version {self.version}, offsets {self.start_offset} to {self.next_offset - 1}"
        )


@dataclass
class CommitHistory:
    """The ranges of all commits that are still in the log, in version order."""

    oldest: int
    """The first version in the log, the one after the newest if there is none; earlier ones were cleaned from it."""
    commits: int = 0
    """The number of commits that record ranges."""
    ranges: list[CommittedRange] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _next: int | None = None
    """The version after the last one that was added."""

    def add(self, commit: Mapping[str, Any], *, dates: bool = False) -> None:
        """Adds what the next version recorded, from Delta's commit info.

        Args:
            commit: the commit info, with its version.
            dates: whether the ranges keep their event dates. A commit can have thousands.
        """
        number = int(commit["version"])
        if self._next is None:
            self.oldest = number
        elif number != self._next:
            self.faults.append(
                f"versions {self._next} to {number - 1} are missing from the log, and so are their ranges"
            )
        self._next = number + 1
        recorded = commit.get(RANGES_KEY)
        if recorded is None:
            operation = str(commit.get("operation"))
            if operation in _DATA_CHANGES:
                self.faults.append(f"version {number}: not written by the sink: {operation} without offset ranges")
            return
        try:
            ranges = [_parse_range(number, entry, dates) for entry in json.loads(recorded)]
        except (ValueError, TypeError, KeyError) as error:
            self.faults.append(f"version {number}: cannot parse {RANGES_KEY}: {type(error).__name__}: {error}")
            return
        self.commits += 1
        self.ranges.extend(ranges)

    def prepend(self, oldest: int, ranges: Iterable[CommittedRange]) -> None:
        """Adds ranges of earlier versions, from ``oldest`` on; those of versions that are still in the log are not."""
        earlier = [committed for committed in ranges if committed.version < self.oldest]
        self.commits += len({committed.version for committed in earlier})
        self.ranges[:0] = earlier
        self.oldest = oldest

    def by_partition(self) -> dict[PartitionKey, list[CommittedRange]]:
        """Returns the ranges of each partition, in version order."""
        partitions: dict[PartitionKey, list[CommittedRange]] = {}
        for committed in self.ranges:
            partitions.setdefault(committed.key, []).append(committed)
        return partitions


@dataclass
class OffsetChain:
    """The result of a continuity check: where a partition's ranges have gaps or overlap."""

    base: int
    """The first offset that the log covers. Lower offsets belong to commits that were cleaned from the log."""
    gaps: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    empty: int = 0
    """Offsets in the ranges that have no record, according to the ranges' row counts."""


def read_commit_history(history: Iterable[Mapping[str, Any]], version: int) -> CommitHistory:
    """Returns the ranges recorded by the commits up to a version, without their dates, from Delta's commit infos.

    The faults are: commits that changed rows but record no ranges, ranges that cannot be parsed, and versions that are
    missing from the log.
    """
    commits = sorted((info for info in history if info["version"] <= version), key=lambda info: int(info["version"]))
    result = CommitHistory(oldest=version + 1)
    for commit in commits:
        result.add(commit)
    return result


def dated_ranges(commit: Mapping[str, Any]) -> list[CommittedRange]:
    """Returns the ranges that a commit recorded, with their dates, from Delta's commit info."""
    result = CommitHistory(int(commit["version"]))
    result.add(commit, dates=True)
    return result.ranges


def check_continuity(ranges: Sequence[CommittedRange], next_offset: int, complete: bool) -> OffsetChain:
    """Checks whether a partition's ranges, in version order, lead from offset 0 to its next offset without a gap.

    Args:
        ranges: the partition's ranges.
        next_offset: the partition's next offset, from the application transaction.
        complete: whether the log has all commits; otherwise the first range may start anywhere.
    """
    base = 0 if complete else (ranges[0].start_offset if ranges else next_offset)
    chain = OffsetChain(base)
    expected = base
    for committed in ranges:
        if committed.start_offset > expected:
            chain.gaps.append(
                f"partition {committed.partition}: offsets {expected} to {committed.start_offset - 1} are in no commit"
            )
        elif committed.start_offset < expected:
            last_shared = min(committed.next_offset, expected) - 1
            chain.overlaps.append(
                f"{committed.text()}: {committed.start_offset} to {last_shared} are also in an earlier commit"
            )
        chain.empty += committed.next_offset - committed.start_offset - committed.rows
        expected = max(expected, committed.next_offset)
    if expected != next_offset:
        prefix = f"partition {ranges[0].partition}: " if ranges else ""
        chain.gaps.append(f"{prefix}the commits end at offset {expected}, but the next offset is {next_offset}")
    return chain


def _parse_range(version: int, entry: Mapping[str, Any], dates: bool) -> CommittedRange:
    return CommittedRange(
        version,
        str(entry["topic_id"]),
        int(entry["partition"]),
        int(entry["first"]),
        int(entry["next"]),
        int(entry["rows"]),
        str(entry["hash"]),
        {
            date.fromisoformat(day): DateHash(int(rows), str(hashed))
            for day, (rows, hashed) in (entry.get("dates", {}).items() if dates else ())
        },
    )
