"""What a look at the platform finds: a sink that stands still, and quarantine above a share."""

import time
from collections.abc import Mapping

from sluice.contracts import Contract
from sluice.kafka.topics import kafka_ranges
from sluice.lake.ranges import PartitionKey
from sluice.lake.reader import LakeReader
from sluice.settings import Settings
from sluice.warehouse import connect

PATIENCE = 6
"""How many times the age at which a sink commits a record it may take until the lake has gone on."""
MAX_RATIO = 0.05
"""Of a stream's records of the last hour, how many may be in quarantine."""
MIN_RECORDS = 100
"""Records of an hour below which a share says nothing."""

Heads = Mapping[PartitionKey, int]
"""Next offsets."""


def stalled(before: Heads, ends: Heads, after: Heads) -> dict[PartitionKey, int]:
    """Partitions of which Kafka held more than the lake, and the lake has not gone on since: how many offsets wait.

    Args:
        before: the lake's, at the first look.
        ends: Kafka's, then.
        after: the lake's, later.
    """
    return {
        place: end - before.get(place, 0)
        for place, end in ends.items()
        if end > before.get(place, 0) >= after.get(place, 0)
    }


def stalled_sinks(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, str]:
    """Per stream whose sink stands still, how much waits. It takes a while where something is on its way.

    Raises:
        TransientError, TerminalError: Kafka or the store does not answer, or refuses.
    """
    ends: dict[str, dict[PartitionKey, int]] = {stream: {} for stream in contracts}
    for held in kafka_ranges(settings, list(contracts)):
        ends[held.stream][held.topic_id, held.partition] = held.end
    before = {stream: _heads(settings, contract, ends[stream]) for stream, contract in contracts.items()}
    behind = [
        stream for stream in contracts if any(end > before[stream].get(at, 0) for at, end in ends[stream].items())
    ]
    if not behind:
        return {}
    wait = PATIENCE * settings.sink_age_seconds
    time.sleep(wait)
    found = {}
    for stream in behind:
        waiting = stalled(before[stream], ends[stream], _heads(settings, contracts[stream], ends[stream]))
        if waiting:
            found[stream] = (
                f"{sum(waiting.values()):,} offsets of {len(waiting)} partitions wait in Kafka, and the lake has not"
                f" gone on for {wait:.0f} s; see `make logs S=sink`"
            )
    return found


def high_quarantine_rate(settings: Settings) -> dict[str, str]:
    """Per stream of whose records of the last hour more than ``MAX_RATIO`` are in quarantine, how many.

    Raises:
        TransientError, TerminalError: Postgres does not answer, or refuses.
    """
    with connect(settings, "reader") as warehouse:
        loaded = warehouse.execute(
            "select stream, sum(quarantined)::bigint, sum(rows + quarantined)::bigint from ops.loads"
            " where loaded_at > now() - interval '1 hour' group by 1 order by 1"
        ).fetchall()
    return {
        str(stream): f"{aside:,} of the {records:,} records that the last hour's loads brought ({aside / records:.0%})"
        " do not fit their contract; see `make quarantine A=list`"
        for stream, aside, records in ((each[0], int(str(each[1])), int(str(each[2]))) for each in loaded)
        if records >= MIN_RECORDS and aside > MAX_RATIO * records
    }


def _heads(settings: Settings, contract: Contract, places: Heads) -> dict[PartitionKey, int]:
    return LakeReader(settings, contract.stream).next_offsets({topic_id for topic_id, _ in places}, contract)
