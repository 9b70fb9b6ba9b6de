"""Writes lake rows of many event dates: one file per date, one after another.

delta-rs keeps a Parquet writer open per date, which takes 150 KiB each. Here memory does not grow with the dates.
"""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import fs

from sluice.lake.layout import PARTITION_COLUMN

_PARALLEL = 8
_STATISTICS = ["topic_id", "partition", "offset", "timestamp"]
"""The columns by which readers prune files."""


def write_date_files(filesystem: fs.FileSystem, rows: pa.Table) -> list[AddAction | RemoveAction]:
    """Writes one file per event date; returns the actions that add them to the table.

    Args:
        filesystem: the table's folder.
        rows: lake rows in any order. Their order within a date is kept.

    Raises:
        OSError: the store is down or rejects a request. Files that no commit names are removed by maintenance.
    """
    days = rows[PARTITION_COLUMN].cast(pa.int32()).to_numpy()
    order = np.argsort(days, kind="stable")
    bounds = [0, *(np.flatnonzero(np.diff(days[order])) + 1).tolist(), len(order)]

    def write(bound: tuple[int, int]) -> AddAction:
        # Taken date by date, so that the rows are not copied as a whole.
        return _write(filesystem, rows.take(pa.array(order[bound[0] : bound[1]])))

    with ThreadPoolExecutor(_PARALLEL) as executor:
        return list(executor.map(write, pairwise(bounds)))


def _write(filesystem: fs.FileSystem, rows: pa.Table) -> AddAction:
    day = rows[PARTITION_COLUMN][0].as_py().isoformat()
    path = f"{PARTITION_COLUMN}={day}/part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    with filesystem.open_output_stream(path) as file:
        pq.write_table(
            rows.drop_columns([PARTITION_COLUMN]),
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=["topic_id", "partition"],
            write_statistics=_STATISTICS,
            store_schema=False,
        )
        size = file.tell()
    return AddAction(path, size, {PARTITION_COLUMN: day}, int(time.time() * 1000), True, _statistics(rows))


def _statistics(rows: pa.Table) -> str:
    """Returns a file's statistics as Delta's log has them."""
    lowest, highest = {}, {}
    for name in _STATISTICS:
        bounds = pc.min_max(rows[name]).as_py()
        if bounds["min"] is not None:
            lowest[name], highest[name] = _json(bounds["min"]), _json(bounds["max"])
    nulls = {name: rows[name].null_count for name in _STATISTICS}
    return json.dumps({"numRecords": rows.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls})


def _json(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if hasattr(value, "strftime") else value
