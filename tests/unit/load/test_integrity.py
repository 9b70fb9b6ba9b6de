"""Values that differ from those committed are found, wherever a group is cut and however its rows are interleaved."""

import pyarrow as pa
import pytest

from sluice.lake.chunk import value_hash
from sluice.lake.ranges import CommittedRange, Range
from sluice.load import integrity
from sluice.load.integrity import find_altered

PARTITIONS = [("b", 0), ("a", 1), ("a", 0)]


def _value(topic_id: str, partition: int, offset: int) -> bytes | None:
    return None if offset % 5 == 3 else f"{topic_id}{partition}{offset}".encode() * (offset % 3)


def _rows(start_offset: int, next_offset: int) -> pa.Table:
    rows = [(*key, offset, _value(*key, offset)) for offset in range(start_offset, next_offset) for key in PARTITIONS]
    # Interleaved as in files of several dates.
    rows = rows[::2] + rows[1::2]
    names = ["topic_id", "partition", "offset", "value"]
    types = [pa.string(), pa.int32(), pa.int64(), pa.binary()]
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    return pa.concat_tables([pa.table(columns, names).slice(0, 7), pa.table(columns, names).slice(7)])


COMMITS = [
    CommittedRange(
        version,
        *key,
        start,
        start + 10,
        10,
        value_hash(pa.chunked_array([pa.array([_value(*key, n) for n in range(start, start + 10)], pa.binary())])),
    )
    for version, start in enumerate(range(0, 40, 10))
    for key in PARTITIONS
]


@pytest.fixture(params=[0, 1_000], ids=["slices", "copy"], autouse=True)
def _slices_or_copy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_MIN_SLICE", request.param)


@pytest.mark.parametrize(("start_offset", "next_offset"), [(0, 40), (10, 30), (5, 35)])
def test_committed_values_match(start_offset: int, next_offset: int) -> None:
    group = [Range(*key, start_offset, next_offset) for key in PARTITIONS]
    assert find_altered(_rows(start_offset, next_offset), group, COMMITS) is None


@pytest.mark.parametrize("value", [b"x", b"", None])
def test_a_single_altered_value_is_found(value: bytes | None) -> None:
    rows = _rows(0, 40)
    values = rows["value"].to_pylist()
    index = next(n for n, original in enumerate(values) if original and rows["offset"][n].as_py() == 22)
    values[index] = value
    changed = rows.set_column(3, "value", pa.chunked_array([pa.array(values, pa.binary())]))
    altered = find_altered(changed, [Range(*key, 0, 40) for key in PARTITIONS], COMMITS)
    assert altered is not None
    assert (altered.version, altered.key) == (2, (rows["topic_id"][index].as_py(), rows["partition"][index].as_py()))


def test_swapped_values_are_found() -> None:
    rows = _rows(0, 40)
    offsets = rows["offset"].to_pylist()
    swapped = pa.array([{1: 2, 2: 1}.get(offset, offset) for offset in offsets], pa.int64())
    altered = find_altered(rows.set_column(2, "offset", swapped), [Range(*key, 0, 40) for key in PARTITIONS], COMMITS)
    assert altered is not None and altered.version == 0


def test_a_commit_that_is_only_partly_in_the_group_is_not_checked() -> None:
    assert find_altered(_rows(5, 9), [Range(*key, 5, 9) for key in PARTITIONS], COMMITS) is None
