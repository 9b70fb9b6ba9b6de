"""Reconciles the second warehouse: every offset that Spark finds in the lake is there once, in raw or in quarantine."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sluice.errors import TerminalError
from sluice.lakehouse.process import run
from sluice.reconcile.report import aligned
from sluice.settings import Settings

_HEADER = ("stream", "lake", "raw", "quarantine", "in flight")


@dataclass(frozen=True)
class PartitionCounts:
    """What Spark counted of one partition. Offsets beyond the ledger's end are in flight, and compared with nothing."""

    stream: str
    topic_id: str
    partition: int
    claimed: int
    """Records that the lake's log claims: the next offset, less the offsets that it records as empty."""
    lake: int = 0
    """Rows of the lake."""
    raw: int = 0
    quarantined: int = 0
    in_flight: int = 0
    """Rows of the lake beyond the ledger's end."""
    distinct: int = 0
    """Different offsets in the lake."""
    missing: int = 0
    """Offsets of the lake that are neither in raw nor in quarantine."""
    first_missing: int | None = None
    repeated: int = 0
    """Offsets that are there more than once."""
    first_repeated: int | None = None
    foreign: int = 0
    """Offsets that are there and not in the lake."""
    first_foreign: int | None = None

    def faults(self) -> Iterator[str]:
        """Yields how the partition disagrees."""
        name = f"{self.stream}/{self.partition}"
        if duplicates := self.lake - self.distinct:
            yield f"{name}: {duplicates:,} rows of the lake are duplicated"
        if self.distinct < self.claimed:
            yield f"{name}: {self.claimed - self.distinct:,} offsets are missing from the lake"
        if self.distinct > self.claimed:
            yield f"{name}: {self.distinct - self.claimed:,} rows of the lake belong to no commit"
        for count, first, what in (
            (self.missing, self.first_missing, "of the lake are not in Spark's warehouse"),
            (self.repeated, self.first_repeated, "are in Spark's warehouse more than once"),
            (self.foreign, self.first_foreign, "are in Spark's warehouse and not in the lake"),
        ):
            if count:
                yield f"{name}: {count:,} offsets {what}, the first is {first}"


@dataclass(frozen=True)
class LakehouseReconciliation:
    """The result for all streams."""

    streams: list[str]
    partitions: list[PartitionCounts]

    def faults(self) -> list[str]:
        """Returns descriptions of the disagreements."""
        return [fault for counts in self.partitions for fault in counts.faults()]

    def lines(self) -> Iterator[str]:
        """Yields a table of the streams, the disagreements and the verdict."""
        yield from aligned([_HEADER, *map(self._row, self.streams)], {0})
        faults = self.faults()
        yield from faults
        yield f"{len(faults)} disagreements" if faults else "everything agrees"

    def _row(self, stream: str) -> tuple[str, ...]:
        partitions = [counts for counts in self.partitions if counts.stream == stream]
        columns: Iterable[Iterable[int]] = (
            (counts.lake - counts.in_flight for counts in partitions),
            (counts.raw for counts in partitions),
            (counts.quarantined for counts in partitions),
            (counts.in_flight for counts in partitions),
        )
        return stream, *(f"{sum(column):,}" for column in columns)

    def require_agreement(self) -> None:
        """Raises an error if something disagrees.

        Raises:
            TerminalError: it does.
        """
        if faults := self.faults():
            raise TerminalError(
                f"the lake and Spark's warehouse disagree: {faults[0]}",
                "load the dates concerned again with a backfill of the DAG lakehouse",
            )


def reconcile(settings: Settings, streams: Iterable[str], log_line: Callable[[str], None]) -> LakehouseReconciliation:
    """Compares lake and warehouse on Spark, every offset of both.

    Args:
        settings: with the secrets of the cluster and of the store's user.
        streams: their names.
        log_line: receives Spark's log, line by line.

    Raises:
        TransientError, TerminalError: the cluster or the store is down, or a load is not finished.
    """
    lines = run("reconcile", settings=settings, log_line=log_line)
    return LakehouseReconciliation(list(streams), [PartitionCounts(**json.loads(line)) for line in lines])
