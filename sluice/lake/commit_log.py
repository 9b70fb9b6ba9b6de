"""Reads a table's log: which offsets each commit wrote, and into which files; a bounded number of commits at a time."""

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow.parquet as pq
from pyarrow import fs

from sluice.lake.errors import corrupt_error, store_error
from sluice.lake.layout import transaction_id
from sluice.lake.range_archive import ArchiveRows, RangeArchive
from sluice.lake.ranges import (
    CommitHistory,
    CommittedRange,
    PartitionKey,
    Range,
    cut_ranges,
    dated_ranges,
    read_commit_history,
)

SLICE = 64
"""Versions of the log that are read before what they wrote is passed on."""
_PARALLEL = 16
_ARCHIVED = 4_096
"""Versions per object of the archive, at most."""
_ARCHIVED_ROWS = 1 << 18
"""Ranges and event dates of an object of the archive above which it ends, about 30 MB in memory."""
_WRITE_MS = 60_000
"""The longest time between a file and the commit that adds it, in milliseconds."""
_LOG = "_delta_log"
_FILE = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)$")


@dataclass(frozen=True)
class LogSlice:
    """A part of the requested ranges, and the commits that wrote it."""

    ranges: list[Range]
    commits: list[CommittedRange] = field(default_factory=list)
    """In version order; none if they were cleaned from the log."""
    added: dict[int, frozenset[str]] = field(default_factory=dict)
    """Per version, the files that it added. Some may have been replaced since. Unknown if the log was cleaned."""

    def paths(self, ranges: Sequence[Range], present: Collection[str]) -> frozenset[str] | None:
        """Returns the files that can contain any of the ranges; None if that is not known.

        Args:
            ranges: a part of this slice's ranges.
            present: the files of the table's version that is read.
        """
        if not self.commits or not self.added:
            return None
        wanted = {offsets.key: offsets for offsets in ranges}
        needed = {
            committed.version
            for committed in self.commits
            if (offsets := wanted.get(committed.key))
            and committed.start_offset < offsets.next_offset
            and offsets.start_offset < committed.next_offset
        }
        own = frozenset[str]().union(*(self.added[version] for version in needed))
        # Maintenance replaces the files of a date by others of the same date.
        replaced = {_folder(path) for path in own if path not in present}
        if not replaced:
            return own
        others = {committed.version for committed in self.commits} - needed
        elsewhere = frozenset[str]().union(*(self.added[version] for version in others))
        return own | {path for path in present if _folder(path) in replaced and path not in elsewhere}


class CommitLog:
    """The log of one table up to one version."""

    def __init__(self, uri: str, filesystem: fs.FileSystem, version: int) -> None:
        self._uri = uri
        self._filesystem = filesystem
        self._version = version
        self._archive = RangeArchive(uri, filesystem)

    def slices(self, ranges: Sequence[Range]) -> Iterator[LogSlice]:
        """Yields the ranges piece by piece, each partition's in the order of offsets, with the commits that wrote them.

        What is new since a short while is one slice, read backwards from the newest version. Anything longer is read
        forwards, so that the first slice is available at once however many follow.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        if not ranges:
            return
        recent = self._newest(ranges)
        if recent is not None:
            yield recent
            return
        remaining = {offsets.key: offsets for offsets in ranges}
        for commits, added in self._forwards(remaining):
            relevant = [
                committed
                for committed in commits
                if committed.key in remaining and committed.next_offset > remaining[committed.key].start_offset
            ]
            # Offsets whose commits nothing recorded come first.
            starts: dict[PartitionKey, int] = {}
            for committed in relevant:
                starts.setdefault(committed.key, committed.start_offset)
            if unknown := cut_ranges(remaining, starts):
                yield LogSlice(unknown)
            ends = {committed.key: committed.next_offset for committed in relevant}
            if known := cut_ranges(remaining, ends):
                yield LogSlice(known, relevant, added)
        if remaining:
            yield LogSlice(list(remaining.values()))

    def _newest(self, ranges: Sequence[Range]) -> LogSlice | None:
        """Returns the commits of the ranges if they are among the newest; None if they reach further back."""
        missing = {offsets.key: offsets.start_offset for offsets in ranges}
        commits: list[CommittedRange] = []
        added: dict[int, frozenset[str]] = {}
        for end in range(self._version + 1, max(self._version + 1 - SLICE, 0), -_PARALLEL):
            versions = range(max(end - _PARALLEL, self._version + 1 - SLICE, 0), end)
            part, part_added = self._read(versions)
            commits[:0] = part
            added |= part_added
            for committed in part:
                if committed.start_offset <= missing.get(committed.key, -1):
                    del missing[committed.key]
            if not missing:
                return LogSlice(list(ranges), commits, added)
            if len(part_added) < len(versions):
                # Earlier versions were cleaned from the log.
                return None
        return None

    def transactions(self) -> dict[str, int]:
        """Returns the version of every application transaction.

        They are in the newest checkpoint and in the log after it, so what this reads does not grow with the table.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        checkpoint = self._newest_checkpoint()
        versions = {} if checkpoint is None else self._progress(checkpoint)
        newer = range(0 if checkpoint is None else checkpoint + 1, self._version + 1)
        with ThreadPoolExecutor(_PARALLEL) as executor:
            for actions in executor.map(lambda version: self._actions(version, "txn"), newer):
                versions |= {action["txn"]["appId"]: action["txn"]["version"] for action in actions or ()}
        return versions

    def date_commits(self, day: date, newest_file: int) -> list[CommittedRange]:
        """Returns the commits that may have rows of an event date, as far as they are archived or in the log.

        Args:
            day: the event date.
            newest_file: when the newest file of the date was written, in milliseconds since 1970. No later commit has
                rows of the date.
        """
        objects = self._archive.objects()
        commits = [committed for versions in objects for committed in self._archive.read(versions, day)]
        if not objects or newest_file >= self._archive.time(objects[-1]) - _WRITE_MS:
            first = max(objects[-1].last + 1 if objects else 0, self._oldest_and_checkpoints()[0])
            for info in self._infos(range(first, self._version + 1)):
                commits += [
                    # Without the other dates, of which it can have thousands.
                    replace(committed, dates={day: committed.dates[day]} if committed.dates else {})
                    for committed in dated_ranges(info)
                    if day in committed.dates or not committed.dates
                ]
        return commits

    def history(self) -> CommitHistory:
        """Returns the ranges of all commits that are in the log or archived, without their dates.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        result = CommitHistory(oldest=self._version + 1)
        for info in self._infos(range(self._oldest_and_checkpoints()[0], self._version + 1)):
            result.add(info)
        objects = self._archive.objects()
        if objects and objects[-1].last + 1 >= result.oldest > objects[0].first:
            archived = [committed for versions in objects for committed in self._archive.read(versions)]
            result.prepend(objects[0].first, archived)
        return result

    def archive(self) -> int:
        """Copies what the log recorded and the archive lacks into the archive; returns the number of versions.

        Raises:
            TransientError, TerminalError: the store is down or rejects the request.
        """
        objects = self._archive.objects()
        first = max(objects[-1].last + 1 if objects else 0, self._oldest_and_checkpoints()[0])
        begin, rows = first, ArchiveRows()
        for info in self._infos(range(first, self._version + 1)):
            version = info["version"]
            rows.add(dated_ranges(info))
            if rows.count >= _ARCHIVED_ROWS or version - begin + 1 >= _ARCHIVED or version == self._version:
                self._archive.write(begin, version, rows.table(), int(info.get("timestamp", 0)))
                begin, rows = version + 1, ArchiveRows()
        return max(self._version + 1 - first, 0)

    def _forwards(
        self, ranges: Mapping[PartitionKey, Range]
    ) -> Iterator[tuple[list[CommittedRange], dict[int, frozenset[str]]]]:
        """Yields commits in version order, from below all ranges or from the oldest that anything recorded."""
        first, oldest = self._first_version(ranges)
        if first == oldest:
            for versions in self._archive.objects():
                if versions.first < oldest:
                    yield [c for c in self._archive.read(versions) if c.version < oldest], {}
        for start in range(first, self._version + 1, SLICE):
            yield self._read(range(start, min(start + SLICE, self._version + 1)))

    def _first_version(self, ranges: Mapping[PartitionKey, Range]) -> tuple[int, int]:
        """Returns the version after the newest checkpoint below all ranges, or the oldest one; and the oldest."""
        oldest, checkpoints = self._oldest_and_checkpoints()
        # Progress only grows, so every checkpoint before one that is below the ranges is below them, too.
        number = bisect_left(checkpoints, True, key=lambda version: self._is_beyond(version, ranges))
        return checkpoints[number - 1] + 1 if number else oldest, oldest

    def _oldest_and_checkpoints(self) -> tuple[int, list[int]]:
        """Returns the oldest version in the log, and the versions of the checkpoints after it, ascending."""
        try:
            names = [info.base_name for info in self._filesystem.get_file_info(fs.FileSelector(_LOG))]
        except OSError as error:
            raise store_error(self._uri, error) from error
        files = [match.groups() for name in names if (match := _FILE.match(name))]
        oldest = min((int(version) for version, kind in files if kind == "json"), default=self._version + 1)
        checkpoints = sorted(
            int(version) for version, kind in files if kind != "json" and oldest <= int(version) <= self._version
        )
        return oldest, checkpoints

    def _newest_checkpoint(self) -> int | None:
        """Returns the version of the newest checkpoint; None if there is none."""
        try:
            with self._filesystem.open_input_stream(f"{_LOG}/_last_checkpoint") as file:
                newest = int(json.loads(file.read())["version"])
        except FileNotFoundError:
            newest = None
        except OSError as error:
            raise store_error(self._uri, error) from error
        if newest is not None and newest <= self._version:
            return newest
        # Written since the table was opened, or named by no file, as in a partial copy.
        checkpoints = self._oldest_and_checkpoints()[1]
        return checkpoints[-1] if checkpoints else None

    def _is_beyond(self, checkpoint: int, ranges: Mapping[PartitionKey, Range]) -> bool:
        """Returns whether a partition's progress at a checkpoint has passed the start of its range."""
        progress = self._progress(checkpoint)
        return any(progress.get(transaction_id(*key), 0) > offsets.start_offset for key, offsets in ranges.items())

    def _progress(self, checkpoint: int) -> dict[str, int]:
        """Returns the version of every application transaction at a checkpoint."""
        try:
            with self._filesystem.open_input_file(f"{_LOG}/{checkpoint:020d}.checkpoint.parquet") as file:
                # In this thread; a checkpoint lists every file of the table, so it is not read as a whole.
                transactions = pq.ParquetFile(file).read(["txn"], use_threads=False)["txn"]
        except OSError as error:
            raise store_error(self._uri, error) from error
        return {entry["appId"]: entry["version"] for entry in transactions.drop_null().to_pylist() if entry["appId"]}

    def _read(self, versions: range) -> tuple[list[CommittedRange], dict[int, frozenset[str]]]:
        """Returns the ranges of some versions in order, and the files that each added; not of those cleaned.

        The ranges are without their dates.
        """
        commits: list[CommittedRange] = []
        added: dict[int, frozenset[str]] = {}
        with ThreadPoolExecutor(_PARALLEL) as executor:
            for version, entry in zip(versions, executor.map(self._entry, versions), strict=True):
                if entry is not None:
                    info, added[version] = entry
                    commits += read_commit_history([info | {"version": version}], version).ranges
        return commits, added

    def _infos(self, versions: range) -> Iterator[dict[str, Any]]:
        """Yields the commit infos of some versions in order, each with its version; not of those cleaned."""
        with ThreadPoolExecutor(_PARALLEL) as executor:
            for start in range(versions.start, versions.stop, SLICE):
                part = range(start, min(start + SLICE, versions.stop))
                for version, actions in zip(part, executor.map(self._info, part), strict=True):
                    if actions is not None:
                        yield {**(actions[0]["commitInfo"] if actions else {}), "version": version}

    def _info(self, version: int) -> list[dict[str, Any]] | None:
        return self._actions(version, "commitInfo")

    def _entry(self, version: int) -> tuple[dict[str, Any], frozenset[str]] | None:
        """Returns a version's commit info and the files it added; None if it was cleaned from the log."""
        actions = self._actions(version, "commitInfo", "add")
        if actions is None:
            return None
        info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        return info, frozenset(action["add"]["path"] for action in actions if "add" in action)

    def _actions(self, version: int, *kinds: str) -> list[dict[str, Any]] | None:
        """Returns a version's actions of some kinds; None if the version was cleaned from the log."""
        path = f"{_LOG}/{version:020d}.json"
        try:
            with self._filesystem.open_input_stream(path) as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error(self._uri, error) from error
        # A commit has thousands of actions of the other kinds if it has as many dates.
        wanted = [line for line in lines if any(f'"{kind}"'.encode() in line for kind in kinds)]
        try:
            return [action for action in map(json.loads, wanted) if not action.keys().isdisjoint(kinds)]
        except ValueError as error:
            raise corrupt_error(self._uri, path, error) from error


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
