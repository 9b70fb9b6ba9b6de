"""Gaps: offsets that are lost, recorded by an operator.

Kafka deleted them before they reached the lake, and the record lets the sink resume; or they are a hole behind the
lake's next offset that no transaction explains, and the record is the explanation.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.kafka.holes import unexplained_holes
from sluice.kafka.topics import KafkaRange, kafka_ranges
from sluice.lake.chunk import Chunk
from sluice.lake.layout import SCHEMA, gap_id, storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.settings import Settings


@dataclass(frozen=True)
class Gap:
    """A recorded gap: offsets from ``start_offset`` (inclusive) to ``next_offset`` (exclusive), and its version."""

    stream: str
    partition: int
    start_offset: int
    next_offset: int
    version: int
    behind: bool = False
    """Whether the sink has passed it long since."""

    def text(self) -> str:
        """Returns the gap as one line."""
        resumes = "" if self.behind else f"; the sink resumes at {self.next_offset}"
        return (
            f"{self.stream}/{self.partition}: offsets {self.start_offset} to {self.next_offset - 1} recorded as lost "
            f"in version {self.version}{resumes}"
        )


def record_gap(
    settings: Settings, contract: Contract, partition: int, end: int, reason: str, author: str, start: int | None = None
) -> Gap:
    """Commits, without rows, that the offsets up to ``end`` are lost.

    Args:
        settings: with the password of the lake's writer.
        contract: of the stream.
        partition: the topic's partition.
        end: the first offset that is not lost. Without ``start``, it is the first that Kafka still has.
        reason: why the offsets are lost, for later readers of the log.
        author: who records the gap.
        start: the first offset that is lost, for a hole behind the partition's next offset; None for the next offset.

    Raises:
        TerminalError: Kafka has deleted nothing that the lake lacks, or ``end`` is not Kafka's first offset; or, with
            ``start``, these offsets are not a hole that nothing explains.
        TransientError: a server is down, the table does not exist yet, or another writer was in the way.
    """
    if not reason.strip():
        raise TerminalError("a gap needs a reason", "pass --reason with a description of what happened")
    stream, topic = contract.stream, contract.topic_name
    ranges = {kafka_range.partition: kafka_range for kafka_range in kafka_ranges(settings, {stream: topic})}
    if partition not in ranges:
        raise TerminalError(f"{stream} has no partition {partition}", f"choose from {', '.join(map(str, ranges))}")
    kafka_range = ranges[partition]
    table = LakeTable(table_uri(settings, stream), storage_options(settings, "writer"))
    table.open()
    next_offset = table.next_offset(kafka_range.topic_id, partition)
    metadata = {"gap": reason.strip(), "by": author, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    key = (kafka_range.topic_id, partition)
    if start is None:
        check_gap(kafka_range, next_offset, end)
        chunk = Chunk(*key, next_offset, end, SCHEMA.empty_table(), metadata)
    else:
        holes = [(start, min(end, next_offset))]
        if list(unexplained_holes(settings, topic, partition, holes)) != [(start, end)]:
            raise TerminalError(
                f"{stream}/{partition}: offsets {start} to {end - 1} are not a hole that nothing explains",
                "pass --from and --to as `make reconcile` names them, --to one higher than the last offset",
            )
        metadata["hole"] = f"{start}-{end - 1}"
        chunk = Chunk(*key, next_offset, next_offset, SCHEMA.empty_table(), metadata, {gap_id(*key, start): end})
    result = table.append([chunk])
    if result.fenced:
        committed = table.next_offset(kafka_range.topic_id, partition)
        raise TerminalError(
            f"{stream}/{partition}: another writer has committed up to offset {committed}",
            "run `make lake A=status` and check whether the offsets are still lost",
        )
    return Gap(stream, partition, next_offset if start is None else start, end, result.version, start is not None)


def check_gap(kafka_range: KafkaRange, next_offset: int, end: int) -> None:
    """Rejects a gap that is not exactly the offsets that are lost.

    Raises:
        TerminalError: why the gap is wrong, and the correct ``end``.
    """
    name = f"{kafka_range.stream}/{kafka_range.partition}"
    start = kafka_range.start
    if start <= next_offset:
        raise TerminalError(
            f"{name}: nothing is lost: the lake's next offset is {next_offset}, and Kafka has offsets from {start}",
            "do not record a gap",
        )
    if end != start:
        raise TerminalError(
            f"{name}: offsets {next_offset} to {start - 1} are lost, not {next_offset} to {end - 1}",
            f"pass --to {start}, the first offset that Kafka has",
        )
