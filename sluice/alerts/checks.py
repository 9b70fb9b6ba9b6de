"""Checks the platform for problems: stalled sinks and high quarantine rates."""

import time
from collections.abc import Mapping

from sluice.contracts import Contract, topic_names
from sluice.kafka.topics import kafka_ranges
from sluice.lake.errors import NoTableError
from sluice.lake.ranges import PartitionKey
from sluice.lake.reader import LakeReader
from sluice.settings import Settings
from sluice.warehouse import connect

PATIENCE = 6
"""A sink counts as stalled after this many times the age at which it commits a record."""
MAX_RATIO = 0.05
"""Maximum share of a stream's records of the last hour that may be in quarantine."""
MIN_RECORDS = 100
"""Minimum number of records in the last hour for that share to mean anything."""

NextOffsets = Mapping[PartitionKey, int]


def stalled_partitions(
    lake_before: NextOffsets, kafka_before: NextOffsets, lake_after: NextOffsets
) -> dict[PartitionKey, int]:
    """Returns the lag of each partition that had records to commit and has not advanced in the lake.

    Args:
        lake_before: the lake's next offsets at the first check.
        kafka_before: Kafka's next offsets at the same time.
        lake_after: the lake's next offsets some time later.
    """
    return {
        key: next_offset - lake_before.get(key, 0)
        for key, next_offset in kafka_before.items()
        if next_offset > lake_before.get(key, 0) >= lake_after.get(key, 0)
    }


def lost_by_kafka(lake: NextOffsets, kafka: NextOffsets) -> dict[PartitionKey, int]:
    """Returns, per partition, how many offsets the lake has beyond Kafka's end."""
    return {key: lake[key] - end for key, end in kafka.items() if lake.get(key, 0) > end}


def stalled_sinks(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, str]:
    """Returns a description of the problem for each stream whose sink is stalled. Waits a while if a sink lags behind.

    A stream without a topic, such as that of a contract that is not launched yet, has nothing to write. A stream with
    records and without a table in the lake is stalled.

    Raises:
        TransientError, TerminalError: Kafka or the store is down or rejects a request.
    """
    kafka = _kafka_ends(settings, contracts)
    before = {stream: _lake_ends(settings, contracts[stream]) for stream in kafka}
    # While the lake was read, the sink has gone on.
    newest = _kafka_ends(settings, contracts)
    problems = {
        stream: f"the lake has {sum(lost.values()):,} offsets beyond Kafka's end in {len(lost)} partitions: Kafka was"
        " restored from an older copy; see `make logs S=sink`"
        for stream, ends in before.items()
        if (lost := lost_by_kafka(ends or {}, newest.get(stream, {})))
    }
    lagging = [
        stream
        for stream, ends in before.items()
        if any(next_offset > (ends or {}).get(key, 0) for key, next_offset in kafka[stream].items())
    ]
    if not lagging:
        return problems
    wait = PATIENCE * settings.sink_age_seconds
    time.sleep(wait)
    for stream in lagging:
        after = _lake_ends(settings, contracts[stream])
        lag = stalled_partitions(before[stream] or {}, kafka[stream], after or {})
        if lag and stream not in problems:
            without = "without a commit to the lake" if after is not None else "and no table in the lake"
            problems[stream] = (
                f"lag of {sum(lag.values()):,} offsets in {len(lag)} partitions {without} for {wait:.0f} s;"
                " see `make logs S=sink`"
            )
    return problems


def _kafka_ends(settings: Settings, contracts: Mapping[str, Contract]) -> dict[str, dict[PartitionKey, int]]:
    """Returns Kafka's next offset of each partition, by stream; streams without a topic are left out."""
    ends: dict[str, dict[PartitionKey, int]] = {}
    for partition in kafka_ranges(settings, topic_names(contracts), skip_missing=True):
        ends.setdefault(partition.stream, {})[partition.topic_id, partition.partition] = partition.end
    return ends


def _lake_ends(settings: Settings, contract: Contract) -> dict[PartitionKey, int] | None:
    """Returns what ``lake_offsets`` does; None without a table."""
    try:
        return lake_offsets(settings, contract)
    except NoTableError:
        return None


def high_quarantine_rate(settings: Settings) -> dict[str, str]:
    """Returns a description per stream with more than ``MAX_RATIO`` of its last hour's records in quarantine.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects the query.
    """
    with connect(settings, "reader") as warehouse:
        loaded = warehouse.execute(
            "select stream, sum(quarantined)::bigint, sum(rows + quarantined)::bigint from ops.loads"
            " where loaded_at > now() - interval '1 hour' group by 1 order by 1"
        ).fetchall()
    counts = ((str(stream), int(str(quarantined)), int(str(records))) for stream, quarantined, records in loaded)
    return {
        stream: f"{quarantined:,} of {records:,} records loaded in the last hour ({quarantined / records:.0%}) are"
        " invalid; see `make quarantine A=list`"
        for stream, quarantined, records in counts
        if records >= MIN_RECORDS and quarantined > MAX_RATIO * records
    }


def lake_offsets(settings: Settings, contract: Contract) -> dict[PartitionKey, int]:
    """Returns the lake's next offset of each partition that has one.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request, or the table does not exist.
    """
    return LakeReader(settings, contract.stream).next_offsets()
