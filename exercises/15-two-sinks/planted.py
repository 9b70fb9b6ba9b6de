"""Delta tables like the lake's, each with one fault that a verifier must find."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from uuid import uuid4

import pyarrow as pa
from deltalake import write_deltalake

from sluice.lake.chunk import record_columns
from sluice.lake.layout import PARTITION_COLUMN

Fault = tuple[str, int, int]
"""Kind, partition and offset."""
Row = tuple[int, int, bytes]
"""Partition, offset and value."""

_START_MS = 1_357_035_300_000
_DAY_MS = 86_400_000


def plant(folder: Path, random: Random, sent: Mapping[int, list[bytes]]) -> dict[str, set[Fault]]:
    """Writes tables with the records that were sent; returns the faults of each by the table's folder. One has none."""
    rows = [(partition, offset, value) for partition, values in sent.items() for offset, value in enumerate(values)]
    inner = [row for row in rows if 0 < row[1] < len(sent[row[0]]) - 1]
    lost, doubled, changed, first, second, other, more = random.sample(inner, 7)
    last = max(sent)
    end = len(sent[0])
    cut = end - random.randrange(1, 4)
    swapped = {first[:2]: second[2], second[:2]: first[2]}
    altered = {changed[:2]: bytes([changed[2][0] ^ 1]) + changed[2][1:]}
    tables: list[tuple[list[Row], set[Fault]]] = [
        (rows, set()),
        ([row for row in rows if row != lost], {("lost", *lost[:2])}),
        ([*rows, doubled], {("duplicate", *doubled[:2])}),
        (_replaced(rows, altered), {("changed", *changed[:2])}),
        (_replaced(rows, swapped), {("changed", *first[:2]), ("changed", *second[:2])}),
        ([row for row in rows if row[0] != 0 or row[1] < cut], {("lost", 0, offset) for offset in range(cut, end)}),
        ([row for row in rows if row[0] != last], {("lost", last, offset) for offset in range(len(sent[last]))}),
        ([*(row for row in rows if row != other), more], {("lost", *other[:2]), ("duplicate", *more[:2])}),
        ([row for row in rows if row[1] > 0 or row[0] != 1], {("lost", 1, 0)}),
    ]
    random.shuffle(tables)
    faults = {}
    for number, (content, planted) in enumerate(tables):
        path = folder / f"table{number}"
        _write(path, random, content)
        faults[str(path)] = planted
    return faults


def _replaced(rows: list[Row], values: Mapping[tuple[int, int], bytes]) -> list[Row]:
    return [(partition, offset, values.get((partition, offset), value)) for partition, offset, value in rows]


def _write(path: Path, random: Random, rows: list[Row]) -> None:
    """Writes rows in two commits and over two dates, in any order."""
    topic_id = str(uuid4())
    shuffled = random.sample(rows, len(rows))
    half = len(rows) // 2
    for part in (shuffled[:half], shuffled[half:]):
        tables = []
        for partition in sorted({partition for partition, _, _ in part}):
            offsets = [offset for number, offset, _ in part if number == partition]
            values = [value for number, _, value in part if number == partition]
            nulls = [None] * len(offsets)
            moments = [_START_MS + offset % 2 * _DAY_MS for offset in offsets]
            tables.append(record_columns(topic_id, partition, offsets, moments, nulls, values, nulls))
        write_deltalake(str(path), pa.concat_tables(tables), mode="append", partition_by=[PARTITION_COLUMN])
