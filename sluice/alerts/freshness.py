"""Freshness of a stream's table in the lake: how far it is behind Kafka, and whether it advances."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.alerts.checks import PATIENCE, NextOffsets, lake_offsets, stalled_partitions
from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.kafka.topics import kafka_ranges
from sluice.settings import Settings


@dataclass(frozen=True)
class Freshness:
    """Where a topic and its table in the lake end at one moment."""

    at: datetime
    kafka: NextOffsets
    lake: NextOffsets

    @property
    def lag(self) -> int:
        """Offsets of Kafka that the lake does not have yet."""
        return sum(max(0, end - self.lake.get(key, 0)) for key, end in self.kafka.items())

    def to_json(self) -> dict[str, Any]:
        """Returns the values as JSON, with partitions as ``<topic id>/<partition>``."""
        return {"at": self.at.isoformat(), "kafka": _to_json(self.kafka), "lake": _to_json(self.lake)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Freshness":
        """Returns what ``to_json`` was called on."""
        return cls(datetime.fromisoformat(values["at"]), _from_json(values["kafka"]), _from_json(values["lake"]))


def read_freshness(settings: Settings, contract: Contract) -> Freshness:
    """Reads the ends of a topic and of its table in the lake.

    Args:
        settings: with Kafka's and the lake's reader's passwords.
        contract: of the stream.

    Raises:
        TransientError, TerminalError: Kafka or the store is down or rejects a request.
    """
    at = datetime.now(UTC)
    # Kafka first: the lake may be ahead of this answer, and is then fresh.
    ranges = kafka_ranges(settings, {contract.stream: contract.topic_name})
    kafka = {(partition.topic_id, partition.partition): partition.end for partition in ranges}
    return Freshness(at, kafka, lake_offsets(settings, contract))


def check_freshness(settings: Settings, contract: Contract, before: Freshness | None, now: Freshness) -> None:
    """Raises an error if the lake has not advanced between two moments although Kafka had records for it.

    The error is raised only if the sink had several times the time that it needs for a commit.

    Raises:
        TerminalError: the lake does not advance.
    """
    patience = timedelta(seconds=PATIENCE * settings.sink_age_seconds)
    if before is None or now.at - before.at < patience:
        return
    # A topic that was deleted and created again has another id: nothing of the old one arrives any more.
    expected = {key: end for key, end in before.kafka.items() if key in now.kafka}
    if lag := stalled_partitions(before.lake, expected, now.lake):
        raise TerminalError(
            f"lake.{contract.stream} is stale: {sum(lag.values()):,} records in {len(lag)} partitions, which Kafka had"
            f" at {before.at:%H:%M:%S} UTC, are not in the lake, and it has not advanced since",
            "see `make status` and `make logs S=sink`; the load itself has loaded all that the lake has",
        )


def _to_json(offsets: NextOffsets) -> dict[str, int]:
    return {f"{topic_id}/{partition}": offset for (topic_id, partition), offset in sorted(offsets.items())}


def _from_json(values: Mapping[str, int]) -> NextOffsets:
    parts = ((key.rpartition("/"), offset) for key, offset in values.items())
    return {(topic_id, int(partition)): offset for (topic_id, _, partition), offset in parts}
