"""Values that are not those that a commit recorded are found, wherever a group is cut and however rows are mixed."""

import pyarrow as pa
import pytest

from sluice.lake.chunk import value_hash
from sluice.lake.ranges import CommittedRange, Range
from sluice.load import integrity
from sluice.load.integrity import altered

PLACES = [("b", 0), ("a", 1), ("a", 0)]


def _value(topic_id: str, partition: int, offset: int) -> bytes | None:
    return None if offset % 5 == 3 else f"{topic_id}{partition}{offset}".encode() * (offset % 3)


def _rows(first: int, following: int) -> pa.Table:
    rows = [(*place, offset, _value(*place, offset)) for offset in range(first, following) for place in PLACES]
    # As files of several dates give them.
    rows = rows[::2] + rows[1::2]
    names = ["topic_id", "partition", "offset", "value"]
    types = [pa.string(), pa.int32(), pa.int64(), pa.binary()]
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    return pa.concat_tables([pa.table(columns, names).slice(0, 7), pa.table(columns, names).slice(7)])


COMMITS = [
    CommittedRange(
        version,
        *place,
        first,
        first + 10,
        10,
        value_hash(pa.chunked_array([pa.array([_value(*place, n) for n in range(first, first + 10)], pa.binary())])),
    )
    for version, first in enumerate(range(0, 40, 10))
    for place in PLACES
]


@pytest.fixture(params=[0, 1_000], ids=["slices", "copy"], autouse=True)
def _how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_SHORTEST", request.param)


@pytest.mark.parametrize(("first", "following"), [(0, 40), (10, 30), (5, 35)])
def test_what_was_committed_is_found_whole(first: int, following: int) -> None:
    group = [Range(*place, first, following) for place in PLACES]
    assert altered(_rows(first, following), group, COMMITS) is None


@pytest.mark.parametrize("value", [b"x", b"", None])
def test_one_other_value_is_found(value: bytes | None) -> None:
    rows = _rows(0, 40)
    values = rows["value"].to_pylist()
    place = next(n for n, each in enumerate(values) if each and rows["offset"][n].as_py() == 22)
    values[place] = value
    changed = rows.set_column(3, "value", pa.chunked_array([pa.array(values, pa.binary())]))
    found = altered(changed, [Range(*each, 0, 40) for each in PLACES], COMMITS)
    assert found is not None
    assert (found.version, found.key) == (2, (rows["topic_id"][place].as_py(), rows["partition"][place].as_py()))


def test_values_that_changed_places_are_found() -> None:
    rows = _rows(0, 40)
    offsets = rows["offset"].to_pylist()
    swapped = pa.array([{1: 2, 2: 1}.get(offset, offset) for offset in offsets], pa.int64())
    found = altered(rows.set_column(2, "offset", swapped), [Range(*each, 0, 40) for each in PLACES], COMMITS)
    assert found is not None and found.version == 0


def test_a_commit_that_is_only_partly_there_is_not_judged() -> None:
    assert altered(_rows(5, 9), [Range(*each, 5, 9) for each in PLACES], COMMITS) is None
