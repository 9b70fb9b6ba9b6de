"""What a contestant has written: which events are lost or doubled, by their ids."""

import gzip
import re
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from bench.sink import iceberg
from bench.sink.contestants.spec import Spec
from bench.sink.events import Numbers, numbers, offsets
from sluice.lake.bucket import client
from sluice.lake.layout import storage_options
from sluice.settings import Settings

_ID = r"-\d\dT(?P<digits>[0-9a-f]{6})"
_ID_OF_LINE = re.compile(rb'"event_id": ?"[^"]*' + _ID.encode())


def lost_and_doubled(written: Numbers, partitions: int) -> tuple[int, int]:
    """Returns how many events are lost, and how many rows there are beyond an event's first, by the events' numbers.

    An event is lost if it is missing although a later one of its partition was written: most contestants stop after a
    number of events, not at the end of the topic.
    """
    partition, offset = offsets(written, partitions)
    lost = doubled = 0
    for own in (offset[partition == number] for number in range(partitions)):
        distinct = len(np.unique(own))
        lost += int(own.max(initial=-1)) + 1 - distinct
        doubled += len(own) - distinct
    return lost, doubled


def event_numbers(contestant: str, settings: Settings, spec: Spec) -> Numbers:
    """Returns the numbers of the events that a contestant has written, one per row."""
    return numbers(np.concatenate([np.zeros(0, np.int64), *_digits(contestant, settings, spec)]))


def _digits(contestant: str, settings: Settings, spec: Spec) -> Iterator[Numbers]:
    """Yields the hexadecimal digits of the ids that the contestant has written, as numbers."""
    if contestant in ("sluice", "delta_plain"):
        table = DeltaTable(f"s3://{spec.bucket}/{spec.prefix}", storage_options=storage_options(settings, "root"))
        for batch in table.to_pyarrow_dataset().to_batches(columns=["value"]):
            yield _of_column(batch.column(0))
        return
    minio = client(settings, "root")
    if contestant == "iceberg":
        # What was written and not committed is no part of the table.
        names = [address.split("/", 3)[3] for address in iceberg.data_files(spec)]
    else:
        stored = minio.list_objects(bucket_name=spec.bucket, prefix=f"{spec.prefix}/", recursive=True)
        names = [str(each.object_name) for each in stored]
    for name in names:
        with minio.get_object(bucket_name=spec.bucket, object_name=name) as response:
            data = response.read()
        if name.endswith(".parquet"):
            rows = pq.read_table(BytesIO(data))
            yield _of_column(rows["value" if "value" in rows.column_names else "event_id"].combine_chunks())
        else:
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            yield np.array([int(digits, 16) for digits in _ID_OF_LINE.findall(text)], np.int64)


def _of_column(column: pa.Array) -> Numbers:
    digits = pc.extract_regex(column.cast(pa.string()), _ID).field("digits")
    return np.array([int(each, 16) for each in digits.to_pylist()], np.int64)
