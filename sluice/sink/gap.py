"""Gaps: offsets that Kafka deleted before they were in the lake, recorded by an operator so that the sink goes on."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.errors import TerminalError
from sluice.kafka.topics import KafkaRange, kafka_ranges
from sluice.lake.chunk import Chunk
from sluice.lake.layout import SCHEMA, storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.settings import Settings


@dataclass(frozen=True)
class Gap:
    """A recorded gap: offsets ``first`` up to, without, ``next``, in the table's ``version``."""

    stream: str
    partition: int
    start_offset: int
    next_offset: int
    version: int

    def text(self) -> str:
        """One line."""
        return (
            f"{self.stream}/{self.partition}: offsets {self.start_offset} to {self.next_offset - 1} recorded as lost "
            f"in version {self.version}; the sink resumes at {self.next_offset}"
        )


def record_gap(settings: Settings, stream: str, partition: int, end: int, reason: str, author: str) -> Gap:
    """Commits, without rows, that the offsets from the partition's head up to ``end`` are lost.

    Args:
        settings: with the writer's password.
        stream: whose.
        partition: the topic's partition.
        end: the first offset that is not lost: the first that Kafka still has.
        reason: why, for whoever reads the log later.
        author: who says so.

    Raises:
        TerminalError: Kafka has deleted nothing that the lake lacks, or ``end`` is not where Kafka begins.
        TransientError: a server does not answer, there is no table yet, or another writer was in the way.
    """
    if not reason.strip():
        raise TerminalError("a gap needs a reason", "say what happened")
    found = {held.partition: held for held in kafka_ranges(settings, [stream])}
    if partition not in found:
        raise TerminalError(f"{stream} has no partition {partition}", f"choose from {', '.join(map(str, found))}")
    kafka = found[partition]
    table = LakeTable(table_uri(settings, stream), storage_options(settings, "writer"))
    table.open()
    head = table.next_offset(kafka.topic_id, partition)
    refuse(kafka, head, end)
    note = {"gap": reason.strip(), "by": author, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    lost = Chunk(kafka.topic_id, partition, head, end, SCHEMA.empty_table(), note)
    result = table.append([lost])
    if result.fenced:
        raise TerminalError(
            f"{stream}/{partition}: another writer has committed up to {table.next_offset(kafka.topic_id, partition)}",
            "look again with `make lake A=status`",
        )
    return Gap(stream, partition, head, end, result.version)


def refuse(kafka: KafkaRange, head: int, end: int) -> None:
    """Refuses whatever is not exactly the offsets that are lost.

    Raises:
        TerminalError: why not, and what would be right.
    """
    place = f"{kafka.stream}/{kafka.partition}"
    if kafka.start <= head:
        raise TerminalError(
            f"{place}: nothing is lost: the lake goes on at {head}, and Kafka has offsets from {kafka.start}",
            "no gap is recorded",
        )
    if end != kafka.start:
        raise TerminalError(
            f"{place}: offsets {head} to {kafka.start - 1} are lost, not {head} to {end - 1}",
            f"Kafka has offsets from {kafka.start}: say --to {kafka.start}",
        )
