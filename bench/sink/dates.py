"""Time, memory and files of one commit by its number of event dates: ``python -m bench.sink.dates DATES [LIMIT]``.

``LIMIT`` is the number of dates up to which delta-rs writes the files; the sink's own by default.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from sluice.lake import table as lake_table
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.table import LakeTable

RECORDS = 60_000
DAY_MS = 86_400_000


def main(dates: int, limit: int) -> None:
    """Commits records of random-like dates to a table in a temporary folder, and prints the figures."""
    pa.set_memory_pool(pa.system_memory_pool())
    lake_table._MANY_DATES = limit
    nulls = [None] * RECORDS
    times = [DAY_MS * (offset * 7_919 % dates) for offset in range(RECORDS)]
    values = [f'{{"event_id": "{offset:08d}", "text": "{"x" * 60}"}}'.encode() for offset in range(RECORDS)]
    chunk = Chunk("t", 0, 0, RECORDS, record_columns("t", 0, range(RECORDS), times, nulls, values, nulls))
    with tempfile.TemporaryDirectory() as folder:
        table = LakeTable(folder, {})
        table.create()
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        table.append([chunk])
        seconds = time.monotonic() - started
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        files = len(list(Path(folder).glob("*/*.parquet")))
    print(f"{dates:,} dates: {files:,} files, {peak:.0f} MiB more at the peak, {seconds:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else lake_table._MANY_DATES)
