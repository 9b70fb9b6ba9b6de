"""Ranges of offsets: a filter for them, what the lake's commits say they brought, whether these follow each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

import pyarrow.compute as pc

from sluice.lake.layout import RANGES_KEY

PartitionKey = tuple[str, int]
"""A topic's id and a partition."""

_CHANGES = ("WRITE", "DELETE", "MERGE", "UPDATE", "RESTORE")
"""Delta's names of operations that bring or take rows."""


@dataclass(frozen=True)
class Range:
    """Offsets of one partition, from ``first`` up to, without, ``next``."""

    topic_id: str
    partition: int
    start_offset: int
    next_offset: int

    @property
    def key(self) -> PartitionKey:
        """Where it belongs."""
        return self.topic_id, self.partition


def within(ranges: Sequence[Range]) -> pc.Expression:
    """A filter for the lake's rows in any of the ranges."""
    return reduce(
        or_,
        (
            (pc.field("topic_id") == each.topic_id)
            & (pc.field("partition") == each.partition)
            & (pc.field("offset") >= each.start_offset)
            & (pc.field("offset") < each.next_offset)
            for each in ranges
        ),
        pc.scalar(False),
    )


@dataclass(frozen=True)
class CommittedRange:
    """One range of a commit: offsets ``first`` up to, without, ``next``; ``rows`` of them hold a record."""

    version: int
    topic_id: str
    partition: int
    start_offset: int
    next_offset: int
    rows: int
    hash: str

    @property
    def key(self) -> PartitionKey:
        """Where it belongs."""
        return self.topic_id, self.partition

    def text(self) -> str:
        """As a message names it."""
        return (
            f"partition {self.partition}, version {self.version}, offsets {self.start_offset} to {self.next_offset - 1}"
        )


@dataclass
class CommitHistory:
    """The ranges of all commits that the log still has, in the order of versions."""

    oldest: int
    """The first version in the log; versions before it were cleaned."""
    commits: int = 0
    """Those that name ranges."""
    ranges: list[CommittedRange] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def places(self) -> dict[PartitionKey, list[CommittedRange]]:
        """The ranges of each partition."""
        found: dict[PartitionKey, list[CommittedRange]] = {}
        for each in self.ranges:
            found.setdefault(each.key, []).append(each)
        return found


@dataclass
class OffsetChain:
    """How a partition's ranges follow each other."""

    base: int
    """Where the log begins; below are the offsets of commits that were cleaned from it."""
    gaps: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    empty: int = 0
    """Offsets within the ranges that hold no record, by the ranges' own counts."""


def read_commit_history(history: Iterable[Mapping[str, Any]], version: int) -> CommitHistory:
    """The ranges that commits up to a version name, from Delta's commit infos.

    What is no statement of the lake's is a fault: a commit that changed rows and names no ranges, ranges that cannot
    be read, a version that is missing between others.
    """
    commits = sorted((each for each in history if each["version"] <= version), key=lambda each: int(each["version"]))
    ledger = CommitHistory(oldest=int(commits[0]["version"]) if commits else version + 1)
    expected = ledger.oldest
    for commit in commits:
        number = int(commit["version"])
        if number != expected:
            ledger.faults.append(f"versions {expected} to {number - 1} are missing in the log, with what they brought")
        expected = number + 1
        stated = commit.get(RANGES_KEY)
        if stated is None:
            operation = str(commit.get("operation"))
            if operation in _CHANGES:
                ledger.faults.append(f"version {number}: not the sink's: a {operation} that names no offsets")
            continue
        try:
            ranges = [_recorded(number, each) for each in json.loads(stated)]
        except (ValueError, TypeError, KeyError) as error:
            ledger.faults.append(f"version {number}: its {RANGES_KEY} cannot be read: {type(error).__name__}: {error}")
            continue
        ledger.commits += 1
        ledger.ranges.extend(ranges)
    return ledger


def check_continuity(ranges: Sequence[CommittedRange], head: int, whole: bool) -> OffsetChain:
    """Whether a partition's ranges, in the order of versions, lead from offset 0 to its head.

    Args:
        ranges: of one partition.
        head: its next offset, by the application transaction.
        whole: the log has all commits; otherwise the first range may begin anywhere.
    """
    base = 0 if whole else (ranges[0].start_offset if ranges else head)
    chain = OffsetChain(base)
    expected = base
    for each in ranges:
        if each.start_offset > expected:
            chain.gaps.append(
                f"partition {each.partition}: no commit names offsets {expected} to {each.start_offset - 1}"
            )
        elif each.start_offset < expected:
            shared = min(each.next_offset, expected) - 1
            chain.overlaps.append(
                f"{each.text()}: {each.start_offset} to {shared} are in an earlier commit's range too"
            )
        chain.empty += each.next_offset - each.start_offset - each.rows
        expected = max(expected, each.next_offset)
    if expected != head:
        place = f"partition {ranges[0].partition}: " if ranges else ""
        chain.gaps.append(f"{place}the commits' ranges end at {expected}, the head is {head}")
    return chain


def _recorded(version: int, entry: Mapping[str, Any]) -> CommittedRange:
    return CommittedRange(
        version,
        str(entry["topic_id"]),
        int(entry["partition"]),
        int(entry["first"]),
        int(entry["next"]),
        int(entry["rows"]),
        str(entry["hash"]),
    )
