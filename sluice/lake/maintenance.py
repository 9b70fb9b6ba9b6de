"""Keeping the lake in shape: small files of closed dates are joined, the log is kept short, what no commit names goes.

All of it is delta-rs's own, and safe while the sink writes and loads read. Each step is done whole or not at all, and
the next run does what an interrupted one did not come to.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow import fs

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.errors import NoTableError, store_fault
from sluice.lake.layout import PARTITION_COLUMN, storage_options, table_uri
from sluice.settings import Settings

VACUUM_HOURS = 168
"""Files that no version names are kept this long: a week, far longer than any read or write takes."""
COMMIT_INTERVAL = timedelta(minutes=1)
"""Joined files are committed this often, so that little is done again after an interruption."""

_LOG = "_delta_log/"


@dataclass(frozen=True)
class MaintenanceReport:
    """What was done to a stream's table."""

    stream: str
    version: int
    dates: int
    """Closed dates whose files were joined."""
    joined: int
    """Their files before."""
    joined_size: int
    """Bytes of these."""
    files: int
    """What they were joined to."""
    size: int
    checkpoint: int
    """The version that the checkpoint holds: whoever opens the table reads it, and the log from there on."""
    log_removed: int
    """Files of the log that went: older than its retention (30 days), and not needed any more."""
    vacuumed: int
    """Files removed that no version named: replaced ones, and those of commits that never came about."""
    vacuumed_size: int
    seconds: float

    def text(self) -> str:
        """One line."""
        joined = "nothing to join"
        if self.dates:
            joined = (
                f"{self.joined} files of {self.dates} closed dates ({_mib(self.joined_size)}) joined to {self.files}"
            )
            joined += f" ({_mib(self.size)})"
        return (
            f"{self.stream}: {joined}, checkpoint at version {self.checkpoint}, {self.log_removed} old log files "
            f"removed, {self.vacuumed} unnamed files ({_mib(self.vacuumed_size)}) removed, version {self.version}, "
            f"{self.seconds:.1f} s"
        )


def maintain(settings: Settings, contract: Contract, closed: Mapping[date, bool]) -> MaintenanceReport:
    """Joins files of closed dates, writes a checkpoint, cleans the log and vacuums. Can be stopped and run again.

    Args:
        settings: with the password of the lake's keeper.
        contract: the stream's.
        closed: of the dates that the warehouse knows, whether they are closed. Of others it is the date that tells:
            they are closed when the newest date in the table is past them by the contract's lateness.

    Raises:
        TransientError: there is no table yet, the store does not answer, or another writer was in the way; what is
            committed stays, and the next run goes on.
        TerminalError: the store refuses.
    """
    started = time.monotonic()
    uri = table_uri(settings, contract.stream)
    try:
        table = DeltaTable(uri, storage_options=storage_options(settings, "keeper"))
        before = _files(table)
        days = dates_to_compact(before, contract.lateness, closed)
        if days:
            wanted = [day.isoformat() for day in days]
            table.optimize.compact(
                partition_filters=[(PARTITION_COLUMN, "in", wanted)], min_commit_interval=COMMIT_INTERVAL
            )
        joined, files = _of(before, days), _of(_files(table), days)
        table.create_checkpoint()
        checkpoint = table.version()
        stored = _stored(table)
        table.cleanup_metadata()
        log = [path for path in _stored(table, _LOG) if path in stored]
        removed = table.vacuum(retention_hours=VACUUM_HOURS, dry_run=False, full=True)
    except TableNotFoundError as error:
        raise NoTableError(uri) from error
    except CommitFailedError as error:
        raise TransientError(f"{uri}: {error}", "it is tried again") from error
    except (DeltaError, OSError) as error:
        raise store_fault(uri, error) from error
    return MaintenanceReport(
        contract.stream,
        table.version(),
        len(days),
        joined.num_rows,
        _size(joined),
        files.num_rows,
        _size(files),
        checkpoint,
        sum(path.startswith(_LOG) for path in stored) - len(log),
        len(removed),
        sum(stored.get(path, 0) for path in removed),
        time.monotonic() - started,
    )


def dates_to_compact(files: pa.Table, lateness: timedelta, closed: Mapping[date, bool]) -> list[date]:
    """The closed dates that lie in more than one file.

    Args:
        files: a row per file, with its date.
        lateness: the contract's.
        closed: as in ``maintain``.
    """
    if not files.num_rows:
        return []
    past = pc.max(files["date"]).as_py() - lateness
    counts = files.group_by("date").aggregate([([], "count_all")]).to_pylist()
    return sorted(row["date"] for row in counts if row["count_all"] > 1 and closed.get(row["date"], row["date"] < past))


def _files(table: DeltaTable) -> pa.Table:
    """date and bytes of each file of the table's version."""
    found = pa.table(table.get_add_actions(flatten=True))
    if not found.num_rows:
        return pa.table({"date": pa.array([], pa.date32()), "bytes": pa.array([], pa.int64())})
    return pa.table({"date": found[f"partition.{PARTITION_COLUMN}"], "bytes": found["size_bytes"]})


def _of(files: pa.Table, days: list[date]) -> pa.Table:
    return files.filter(pc.is_in(files["date"], pa.array(days, pa.date32())))


def _size(files: pa.Table) -> int:
    return int(pc.sum(files["bytes"]).as_py() or 0)


def _stored(table: DeltaTable, folder: str = "") -> dict[str, int]:
    """The paths of all objects in a folder of the table's, with their bytes, whether or not a version names them."""
    listed = table.to_pyarrow_dataset().filesystem.get_file_info(fs.FileSelector(folder, recursive=True))
    return {each.path: each.size for each in listed if each.type == fs.FileType.File}


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
