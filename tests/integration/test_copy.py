"""Copying to a real warehouse: every type of a contract, with nulls and extreme values, is read as it was written."""

import math
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.copy import copy_rows

pytestmark = pytest.mark.essential

_TYPES = {
    "text": (pa.string(), ["", "ü – 漢", "x" * 100_000]),
    "bytea": (pa.binary(), [b"", b"\0\xff\n\\."]),
    "boolean": (pa.bool_(), [True, False]),
    "integer": (pa.int32(), [0, 2**31 - 1, -(2**31)]),
    "bigint": (pa.int64(), [2**63 - 1, -(2**63)]),
    "double precision": (pa.float64(), [0.1, -0.0, 5e-324, math.inf]),
    "date": (pa.date32(), [date(1, 1, 1), date(1999, 12, 31), date(2000, 1, 1), date(9999, 12, 31)]),
    "timestamp with time zone": (
        pa.timestamp("us", tz="UTC"),
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        ],
    ),
}


@pytest.mark.parametrize("kind", _TYPES)
def test_each_type_survives_a_round_trip(servers: Settings, kind: str) -> None:
    arrow, values = _TYPES[kind]
    with connect(servers, "loader") as loader:
        create = sql.SQL('create temporary table "a ""table" (number integer, "Value" {})')
        loader.execute(create.format(sql.SQL(kind)))
        expected = [None, *values, None]
        # Two chunks, one of which begins in the middle of its array; columns in another order than in the table.
        array = pa.array([None, *expected], arrow)
        column = pa.chunked_array([array.slice(1, 1), array.slice(2)])
        rows = pa.table({"Value": column, "number": pa.array(range(len(expected)), pa.int32())})
        copy_rows(loader, sql.Identifier("pg_temp", 'a "table'), rows)
        found: list[Any] = loader.execute('select "Value" from "a ""table" order by number').fetchall()
        assert [value for value, *_ in found] == expected
        loader.rollback()


def test_rejected_rows_leave_nothing_behind(servers: Settings) -> None:
    with connect(servers, "loader") as loader:
        loader.execute("create temporary table few (value text not null)")
        loader.commit()
        with pytest.raises(psycopg.errors.NotNullViolation):
            copy_rows(loader, sql.Identifier("pg_temp", "few"), pa.table({"value": ["a", None]}))
        loader.rollback()
        assert loader.execute("select count(*) from few").fetchone() == (0,)
