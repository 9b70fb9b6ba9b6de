"""Maintains the lake: compacts dates, archives and trims the log, and removes unreferenced files.

Every step is a delta-rs operation, safe while the sink writes and loads read. Each step completes or has no effect,
and the next run does what an interrupted run left undone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.commit_log import CommitLog
from sluice.lake.errors import NoTableError, store_error
from sluice.lake.layout import PARTITION_COLUMN, storage_options, table_uri
from sluice.settings import Settings

VACUUM_HOURS = 168
"""How long unreferenced files are kept: a week, far longer than any read or write takes."""
COMMIT_INTERVAL = timedelta(minutes=1)
"""How often compacted files are committed, so that an interruption costs little work."""

OPEN_FILES = 64
"""Small files of an open date above which it is compacted, too. Compacting it at each run would write its rows again
and again."""

_SMALL = 8 << 20
"""A file below this size, in bytes, counts as small."""
_DATES = 200
"""Dates that are compacted by one operation, which plans all of their files at once."""
_LOG = "_delta_log/"


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did to a stream's table."""

    stream: str
    version: int
    dates: int
    """Dates that were compacted: closed ones, and open ones with many small files."""
    files_before: int
    """Files of these dates before compaction."""
    size_before: int
    """Bytes in these files."""
    files: int
    """Files of these dates after compaction."""
    size: int
    """Bytes in these files."""
    checkpoint: int
    """The version of the checkpoint. A reader opens the table from the checkpoint and the log after it."""
    log_removed: int
    """Log files that were removed: older than the log retention (30 days) and no longer needed."""
    vacuumed: int
    """Unreferenced files that were removed: replaced files, and files of commits that never happened."""
    vacuumed_size: int
    """Bytes in these files."""
    seconds: float

    def text(self) -> str:
        """Returns the report as one line."""
        compacted = "nothing to compact"
        if self.dates:
            compacted = (
                f"{self.files_before} files of {self.dates} dates ({_mib(self.size_before)}) compacted into "
                f"{self.files} ({_mib(self.size)})"
            )
        return (
            f"{self.stream}: {compacted}, checkpoint at version {self.checkpoint}, {self.log_removed} old log files "
            f"removed, {self.vacuumed} unreferenced files ({_mib(self.vacuumed_size)}) removed, version "
            f"{self.version}, {self.seconds:.1f} s"
        )


def maintain(settings: Settings, contract: Contract, closed: Mapping[date, bool]) -> MaintenanceReport:
    """Compacts dates, archives the log, writes a checkpoint, cleans the log and vacuums. Can be stopped and run again.

    Args:
        settings: with the password of the lake's keeper.
        contract: the stream's contract.
        closed: whether each date that the warehouse knows is closed. Any other date is closed once the newest date in
            the table is later by more than the contract's lateness.

    Raises:
        TransientError: the table does not exist yet, the store is down, or another writer was in the way; committed
            steps stay, and the next run continues from there.
        TerminalError: the store rejected a request.
    """
    started = time.monotonic()
    uri, options = table_uri(settings, contract.stream), storage_options(settings, "keeper")
    try:
        table = DeltaTable(uri, storage_options=options)
        files = _list_files(table)
        dates = dates_to_compact(files, contract.lateness, closed)
        for start in range(0, len(dates), _DATES):
            table.optimize.compact(
                partition_filters=[
                    (PARTITION_COLUMN, "in", [day.isoformat() for day in dates[start : start + _DATES]])
                ],
                min_commit_interval=COMMIT_INTERVAL,
            )
        # Before the log is cleaned, and after compaction, so that no file of a date is newer than the archive.
        CommitLog(uri, fs.PyFileSystem(DeltaStorageHandler(uri, options)), table.version()).archive()
        before, after = _files_of(files, dates), _files_of(_list_files(table), dates)
        table.create_checkpoint()
        checkpoint = table.version()
        stored = _list_objects(table)
        table.cleanup_metadata()
        log_left = [path for path in _list_objects(table, _LOG) if path in stored]
        vacuumed = table.vacuum(retention_hours=VACUUM_HOURS, dry_run=False, full=True)
    except TableNotFoundError as error:
        raise NoTableError(uri) from error
    except CommitFailedError as error:
        raise TransientError(f"{uri}: {error}", "run maintenance again; another writer committed first") from error
    except (DeltaError, OSError) as error:
        raise store_error(uri, error) from error
    return MaintenanceReport(
        contract.stream,
        table.version(),
        len(dates),
        before.num_rows,
        _total_size(before),
        after.num_rows,
        _total_size(after),
        checkpoint,
        sum(path.startswith(_LOG) for path in stored) - len(log_left),
        len(vacuumed),
        sum(stored.get(path, 0) for path in vacuumed),
        time.monotonic() - started,
    )


def dates_to_compact(files: pa.Table, lateness: timedelta, closed: Mapping[date, bool]) -> list[date]:
    """Returns the closed dates with more than one file and the open dates with many small ones, in ascending order.

    Args:
        files: one row per file, with its date and size in bytes.
        lateness: the contract's lateness.
        closed: as in ``maintain``.
    """
    if not files.num_rows:
        return []
    closed_before = pc.max(files["date"]).as_py() - lateness
    small = pc.less(files["bytes"], _SMALL).cast(pa.int64())
    counts = files.append_column("small", small).group_by("date").aggregate([([], "count_all"), ("small", "sum")])
    return sorted(
        row["date"]
        for row in counts.to_pylist()
        if row["small_sum"] > OPEN_FILES
        or (row["count_all"] > 1 and closed.get(row["date"], row["date"] < closed_before))
    )


def _list_files(table: DeltaTable) -> pa.Table:
    """Returns the date and size of each file in the table's current version."""
    actions = pa.table(table.get_add_actions(flatten=True))
    if not actions.num_rows:
        return pa.table({"date": pa.array([], pa.date32()), "bytes": pa.array([], pa.int64())})
    return pa.table({"date": actions[f"partition.{PARTITION_COLUMN}"], "bytes": actions["size_bytes"]})


def _files_of(files: pa.Table, dates: list[date]) -> pa.Table:
    return files.filter(pc.is_in(files["date"], pa.array(dates, pa.date32())))


def _total_size(files: pa.Table) -> int:
    return int(pc.sum(files["bytes"]).as_py() or 0)


def _list_objects(table: DeltaTable, folder: str = "") -> dict[str, int]:
    """Returns path and size of all objects in a folder of the table, whether or not a version references them."""
    listed = table.to_pyarrow_dataset().filesystem.get_file_info(fs.FileSelector(folder, recursive=True))
    return {info.path: info.size for info in listed if info.type == fs.FileType.File}


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
