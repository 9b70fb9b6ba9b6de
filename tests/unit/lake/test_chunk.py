"""Lake rows contain the record unchanged; the hash depends on every value but not on how arrays are split."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from sluice.lake.chunk import record_columns, value_hash
from sluice.lake.layout import SCHEMA


def test_a_record_becomes_a_row() -> None:
    rows = record_columns("id", 3, [7], [1_357_035_300_123], [b"k"], [b"v"], [[("trace", b"1"), ("empty", None)]])
    assert rows.schema == SCHEMA
    assert rows.to_pylist() == [
        {
            "topic_id": "id",
            "partition": 3,
            "offset": 7,
            "timestamp": datetime(2013, 1, 1, 10, 15, 0, 123_000, tzinfo=UTC),
            "key": b"k",
            "value": b"v",
            "headers": [{"key": "trace", "value": b"1"}, {"key": "empty", "value": None}],
            "event_date": date(2013, 1, 1),
        }
    ]


@pytest.mark.parametrize(
    ("milliseconds", "day"),
    [
        (0, date(1970, 1, 1)),
        (86_399_999, date(1970, 1, 1)),
        (-62_135_596_800_000, date(1, 1, 1)),
        (253_402_300_799_999, date(9999, 12, 31)),
    ],
)
def test_the_event_date_is_the_timestamps_utc_date(milliseconds: int, day: date) -> None:
    rows = record_columns("id", 0, [0], [milliseconds], [None], [None], [None])
    assert rows["event_date"].to_pylist() == [day]
    assert rows["timestamp"].null_count == 0


@pytest.mark.parametrize("milliseconds", [-1, 2**62, -(2**62)])
def test_a_missing_or_out_of_range_timestamp_is_null(milliseconds: int) -> None:
    rows = record_columns("id", 0, [0], [milliseconds], [None], [None], [None])
    assert rows["timestamp"].to_pylist() == [None]
    assert rows["event_date"].to_pylist() == [date(1970, 1, 1)]


def test_the_hash_does_not_depend_on_how_values_are_split() -> None:
    values = [b"one", None, b"", b"four" * 100]
    whole = pa.chunked_array([pa.array(values, pa.binary())])
    split = pa.chunked_array([whole.chunk(0)[:1], whole.chunk(0)[1:3], whole.chunk(0)[3:]])
    assert value_hash(whole) == value_hash(split)


def test_the_hash_depends_on_order_nulls_and_boundaries() -> None:
    variants = [[b"a", b"b"], [b"b", b"a"], [b"ab", b""], [b"", b"ab"], [None, b"ab"], [b"ab"], [b"ab", None]]
    assert len({value_hash(pa.chunked_array([pa.array(values, pa.binary())])) for values in variants}) == len(variants)
