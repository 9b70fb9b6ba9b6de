"""The input: the sink's benchmark events in the lake, in commits as the sink makes them, and the same as JSON lines."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.settings import Settings

TOPIC_ID = "bench0000000000000000A"
COMMIT_EVENTS = 120_000
"""What the sink's 48 MiB hold of these events."""

Event = tuple[bytes, bytes, int]


def spoilt(records: Iterable[Event], share: float, seed: int = 7) -> Iterator[Event]:
    """Events of which a share is no JSON or breaks its contract, in turn, at random places."""
    draw = random.Random(seed)  # noqa: S311
    bad = 0
    for key, value, timestamp in records:
        if draw.random() < share:
            bad += 1
            value = value[:-1] if bad % 2 else value.replace(b'"flight_number":', b'"flight_number":-')
        yield key, value, timestamp


def fill(
    settings: Settings,
    stream: str,
    partitions: int,
    records: Iterable[Event],
    commit: int = COMMIT_EVENTS,
    heads: dict[int, int] | None = None,
) -> int:
    """Commits events to a stream's table, to its partitions in turn, as the sink does; returns the values' bytes.

    Args:
        settings: with the passwords of the lake's users.
        stream: whose table; it is made where there is none.
        partitions: how many.
        records: keys, values and timestamps in milliseconds.
        commit: events of a commit.
        heads: the next offset of each partition, which is moved on; an empty table's by default.
    """
    table = LakeTable(table_uri(settings, stream), storage_options(settings, "writer"))
    table.create()
    heads = dict.fromkeys(range(partitions), 0) if heads is None else heads
    size = 0
    rows = iter(records)
    while batch := list(islice(rows, commit)):
        chunks = []
        for partition in range(partitions):
            # Turns of 24, as the sink's benchmark sends them.
            mine = [event for number, event in enumerate(batch) if number // 24 % partitions == partition]
            if not mine:
                continue
            first = heads[partition]
            heads[partition] = first + len(mine)
            keys, values, times = zip(*mine, strict=True)
            offsets = range(first, heads[partition])
            lake_rows = record_columns(TOPIC_ID, partition, offsets, times, keys, values, [None] * len(mine))
            chunks.append(Chunk(TOPIC_ID, partition, first, heads[partition], lake_rows))
            size += sum(map(len, values))
        table.append(chunks)
    return size


def json_lines(folder: Path, records: Iterable[Event], lines: int = 20_000) -> None:
    """Writes the values as files of JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = iter(records)
    number = 0
    while batch := list(islice(rows, lines)):
        with (folder / f"{number:05d}.jsonl").open("wb") as file:
            file.writelines(value + b"\n" for _, value, _ in batch)
        number += 1
