"""The contestants: the command, the share of the input and the rows of each."""

import sys
from collections.abc import Callable
from pathlib import Path

from psycopg import sql

from bench.load.contestants.spec import READING, Spec
from bench.load.rows import Rows
from bench.measure import Contestant
from bench.servers import PYTHON


def _module(name: str, python: str | Path = sys.executable) -> Callable[[Spec], list[str | Path]]:
    return lambda _: [python, "-m", f"bench.load.contestants.{name}"]


SLUICE = Contestant("sluice", "this load, all checks on", 1, _module("sluice"), READING)
LINEUP = [
    SLUICE,
    Contestant("limit", "upper bound: binary COPY of prepared rows", 1, _module("limit"), READING),
    Contestant(
        "duckdb",
        "DuckDB and its postgres extension, from the same lake, no quarantine, no watermark",
        1,
        _module("duckdb", PYTHON),
        READING,
    ),
    Contestant(
        "arrow_adbc",
        "pyarrow's JSON reader and ADBC ingest, from the same lake, no checks, no watermark",
        1,
        _module("arrow_adbc", PYTHON),
        READING,
    ),
    Contestant(
        "adbc", "ADBC ingest of prepared Parquet rows, no parsing, no checks", 1, _module("adbc", PYTHON), READING
    ),
    Contestant(
        "dlt_parquet",
        "dlt, prepared Parquet rows by ADBC, no parsing, no checks",
        1,
        _module("dlt_parquet", PYTHON),
        READING,
    ),
    Contestant(
        "sling_parquet",
        "sling, prepared Parquet rows, no parsing, no checks",
        1,
        _module("sling_parquet", PYTHON),
        READING,
    ),
    Contestant("sling", "sling, JSON lines to a table", 0.2, _module("sling", PYTHON), READING),
    Contestant("dlt", "dlt, JSON lines to a table", 0.1, _module("dlt", PYTHON), READING),
    Contestant("pandas", "pandas read_json and to_sql", 0.02, _module("pandas", PYTHON), READING),
]
OWN_TABLES = {
    "dlt_parquet": ("bench_dlt_parquet", "departed"),
    "sling_parquet": ("public", "bench_sling_parquet"),
    "sling": ("public", "bench_sling"),
    "dlt": ("bench_dlt", "departed"),
    "pandas": ("public", "bench_pandas"),
}
"""The tables of those that create one; the others insert into the raw table."""


def rows_of(contestant: str, raw_table: str) -> Rows:
    """Returns where the rows of a contestant are. This load's include those in quarantine."""
    if contestant.startswith(SLUICE.name):
        query = sql.SQL('(select _partition, _offset from {} union all select partition, "offset" from raw.quarantine)')
        return Rows(query.format(sql.Identifier("raw", raw_table)), ("_partition", "_offset"))
    return Rows(sql.Identifier(*OWN_TABLES.get(contestant, ("raw", raw_table))), ("event_id",))
