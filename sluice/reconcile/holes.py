"""Holes in the lake's offsets that nothing explains: neither a transaction nor a gap that an operator recorded."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import islice

from sluice.kafka.holes import Hole, unexplained_holes
from sluice.kafka.topics import KafkaRange
from sluice.lake.layout import gap_id
from sluice.lake.ranges import PartitionKey
from sluice.lake.reader import LakeReader
from sluice.reconcile.lake import LakeSide
from sluice.settings import Settings

_NAMED = 10
"""Holes that are named per partition; a compacted topic may have millions."""


def hole_faults(
    settings: Settings,
    reader: LakeReader,
    lake: LakeSide,
    verified: Mapping[PartitionKey, int],
    ranges: Mapping[PartitionKey, KafkaRange],
) -> Iterator[str]:
    """Yields the unexplained holes beyond the verified prefixes, as far back as Kafka still has their surroundings.

    Args:
        settings: with Kafka's address.
        reader: the lake that was read.
        lake: what was read of it; partitions whose rows do not match its commits are left out.
        verified: the first offset of each partition that is not verified.
        ranges: what Kafka has.

    Raises:
        TransientError, TerminalError: Kafka or the store is down.
    """
    for key, part in sorted(ranges.items()):
        next_offset = min(lake.next_offsets.get(key, 0), part.end)
        start = max(verified.get(key, 0), part.start)
        if next_offset <= start or key not in lake.offsets:
            continue
        holes = lake.offsets[key].missing(start, next_offset)
        with closing(_unrecorded(settings, reader, part, holes)) as found:
            named = list(islice(found, _NAMED + 1))
        for first, after in named[:_NAMED]:
            yield (
                f"{part.stream}/{part.partition}: offsets {first} to {after - 1} hold no record, and neither a"
                " transaction nor a recorded gap explains it"
            )
        if len(named) > _NAMED:
            yield f"{part.stream}/{part.partition}: further offsets after {named[_NAMED][0] - 1} hold no record either"


def _unrecorded(settings: Settings, reader: LakeReader, part: KafkaRange, holes: Iterator[Hole]) -> Generator[Hole]:
    for start, end in unexplained_holes(settings, part.topic, part.partition, holes):
        if reader.transaction(gap_id(part.topic_id, part.partition, start)) < end:
            yield start, end
