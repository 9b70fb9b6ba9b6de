"""Keeping the lake in shape: small files of closed dates are joined, the log is kept short, what no commit names goes.

All of it is delta-rs's own, and safe while the sink writes and loads read.
"""

import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.layout import PARTITION_COLUMN, storage_options, table_uri
from sluice.lake.table import no_table, store_fault
from sluice.settings import Settings

VACUUM_HOURS = 168
"""Files that no version names are kept this long: a week, far longer than any read or write takes."""


@dataclass(frozen=True)
class MaintenanceReport:
    """What was done to a stream's table."""

    stream: str
    version: int
    dates: int
    """Closed dates whose files were joined."""
    files_before: int
    files_after: int
    vacuumed: int
    """Files that no version named, removed."""
    seconds: float

    def text(self) -> str:
        """One line."""
        return (
            f"{self.stream}: {self.dates} closed dates joined, {self.files_before} files are now {self.files_after}, "
            f"{self.vacuumed} unnamed files removed, version {self.version}, {self.seconds:.1f} s"
        )


def maintain(settings: Settings, contract: Contract) -> MaintenanceReport:
    """Compacts closed dates, writes a checkpoint, cleans the log and vacuums. Can be stopped and run again.

    A date is closed when the newest event date in the table is past it by the contract's lateness.

    Raises:
        TransientError: there is no table yet, the store does not answer, or another writer was in the way; nothing is
            half done.
        TerminalError: the store refuses.
    """
    started = time.monotonic()
    uri = table_uri(settings, contract.stream)
    try:
        table = DeltaTable(uri, storage_options=storage_options(settings, "keeper"))
        files = pa.table(table.get_add_actions(flatten=True))
        dates = _scattered(files, contract)
        if dates:
            table.optimize.compact(partition_filters=[(PARTITION_COLUMN, "in", dates)])
        table.create_checkpoint()
        table.cleanup_metadata()
        removed = table.vacuum(retention_hours=VACUUM_HOURS, dry_run=False, full=True)
    except TableNotFoundError as error:
        raise no_table(uri) from error
    except CommitFailedError as error:
        raise TransientError(f"{uri}: {error}", "it is tried again") from error
    except (DeltaError, OSError) as error:
        raise store_fault(uri, error) from error
    return MaintenanceReport(
        contract.stream,
        table.version(),
        len(dates),
        files.num_rows,
        len(table.file_uris()),
        len(removed),
        time.monotonic() - started,
    )


def _scattered(files: pa.Table, contract: Contract) -> list[str]:
    """The closed dates that lie in more than one file, as ISO dates."""
    if not files.num_rows:
        return []
    dates = files[f"partition.{PARTITION_COLUMN}"]
    newest = pc.max(dates).as_py()
    counts = pa.table({"date": dates}).group_by("date").aggregate([([], "count_all")]).to_pylist()
    return sorted(
        row["date"].isoformat() for row in counts if row["count_all"] > 1 and row["date"] < newest - contract.lateness
    )
