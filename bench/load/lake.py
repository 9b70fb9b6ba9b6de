"""The input: the events of the sink's benchmark, in the lake in commits like the sink's, and as JSON lines."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.contracts import load_contracts
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.table import LakeTable
from sluice.load.batch import LAKE_COLUMNS, read_batch
from sluice.settings import Settings

TOPIC_ID = "bench0000000000000000A"
COMMIT_EVENTS = 120_000
"""The number of these events that fit into the sink's buffer of 48 MiB."""

Event = tuple[bytes, bytes, int]


def with_invalid(records: Iterable[Event], share: float, seed: int = 7) -> Iterator[Event]:
    """Yields the events with a random share of them invalid: invalid JSON and contract violations alternate."""
    rng = random.Random(seed)  # noqa: S311
    invalid = 0
    for key, value, timestamp in records:
        if rng.random() < share:
            invalid += 1
            value = value[:-1] if invalid % 2 else value.replace(b'"flight_number":', b'"flight_number":-')
        yield key, value, timestamp


def fill_lake(
    settings: Settings,
    stream: str,
    partitions: int,
    records: Iterable[Event],
    commit: int = COMMIT_EVENTS,
    next_offsets: dict[int, int] | None = None,
    topic_id: str = TOPIC_ID,
) -> int:
    """Commits events to a stream's table as the sink does, alternating between its partitions.

    Args:
        settings: with the passwords of the lake's users.
        stream: the stream; its table is created if it does not exist.
        partitions: the number of partitions.
        records: keys, values and timestamps in milliseconds.
        commit: the number of events per commit.
        next_offsets: the next offset of each partition, updated in place; by default those of an empty table.
        topic_id: of the topic; two streams cannot have the same.

    Returns:
        The total size of the values in bytes.
    """
    table = LakeTable(table_uri(settings, stream), storage_options(settings, "writer"))
    table.create()
    next_offsets = dict.fromkeys(range(partitions), 0) if next_offsets is None else next_offsets
    size = 0
    rows = iter(records)
    while batch := list(islice(rows, commit)):
        chunks = []
        for partition in range(partitions):
            # 24 events per partition in turn, as in the sink's benchmark.
            partition_events = [event for number, event in enumerate(batch) if number // 24 % partitions == partition]
            if not partition_events:
                continue
            start_offset = next_offsets[partition]
            next_offsets[partition] = start_offset + len(partition_events)
            keys, values, timestamps = zip(*partition_events, strict=True)
            offsets = range(start_offset, next_offsets[partition])
            lake_rows = record_columns(
                topic_id, partition, offsets, timestamps, keys, values, [None] * len(partition_events)
            )
            chunks.append(Chunk(topic_id, partition, start_offset, next_offsets[partition], lake_rows))
            size += sum(map(len, values))
        table.append(chunks)
    return size


def json_lines(folder: Path, records: Iterable[Event], lines: int = 20_000) -> None:
    """Writes the values as files of JSON lines, ``lines`` per file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = iter(records)
    number = 0
    while batch := list(islice(rows, lines)):
        with (folder / f"{number:05d}.jsonl").open("wb") as file:
            file.writelines(value + b"\n" for _, value, _ in batch)
        number += 1


def parquet_rows(settings: Settings, stream: str, folder: Path) -> None:
    """Writes the events of a stream's lake as rows of its raw table, into Parquet files of a size like the lake's."""
    folder.mkdir()
    records = LakeTable(table_uri(settings, stream), storage_options(settings, "reader")).open().to_pyarrow_dataset()
    contract = load_contracts(settings.contracts)[stream]
    for number, batch in enumerate(records.to_batches(batch_size=COMMIT_EVENTS, columns=LAKE_COLUMNS)):
        parsed = read_batch(contract, pa.Table.from_batches([batch]))
        rows, metadata = parsed.columns.rows, parsed.valid()
        for name in metadata.column_names:
            rows = rows.append_column(f"_{name}", metadata[name])
        rows = rows.append_column("_loaded_at", rows["_timestamp"])
        pq.write_table(rows, folder / f"{number:05d}.parquet")
