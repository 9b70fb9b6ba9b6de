import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from producers.flights.values import json_values


def test_every_type_and_null_is_encoded() -> None:
    fields = {
        "text": pa.chunked_array([["plain", 'a "quote" and a \\ back', "Zürich", None]]),
        "whole": pa.chunked_array([[1, -2, None, 2**62]]),
        "real": pa.chunked_array([[10.357019999999999, 270.0, None, 1e-7]]),
        "yes": pa.chunked_array([[True, False, None, True]]),
        "at": pa.chunked_array(
            [pa.array([datetime(2013, 1, 31, 23, 59, 5, tzinfo=UTC), None, None, None], pa.timestamp("s"))]
        ),
    }
    rows = [json.loads(value) for value in json_values(fields)]
    assert rows[0] == {
        "text": "plain",
        "whole": 1,
        "real": 10.357019999999999,
        "yes": True,
        "at": "2013-01-31T23:59:05Z",
    }
    for name, column in fields.items():
        if name != "at":
            assert [row[name] for row in rows] == column.to_pylist()
    assert rows[3]["at"] is None


def test_a_control_character_is_an_error() -> None:
    with pytest.raises(ValueError, match="control character"):
        json_values({"text": pa.chunked_array([["two\nlines"]])})
