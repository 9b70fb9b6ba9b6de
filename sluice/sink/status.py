"""What the lake holds of each stream, and how far it is behind Kafka."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import urllib3
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from minio.error import MinioException

from sluice.kafka.topics import kafka_ranges
from sluice.lake.bucket import client, refusal
from sluice.lake.errors import store_fault
from sluice.lake.layout import empty_id, storage_options, table_uri, transaction_id
from sluice.settings import Settings


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: the lake's next offset, and what Kafka holds."""

    partition: int
    head: int
    empty: int
    """Offsets below the head that hold no record."""
    start: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets that Kafka has and the lake has not."""
        return max(self.end - self.head, 0)


@dataclass(frozen=True)
class StreamStatus:
    """One stream: its table, None of whose figures are known before the sink made it, and its partitions."""

    stream: str
    partitions: list[PartitionStatus]
    version: int | None = None
    files: int = 0
    size: int = 0
    """Bytes in the files."""
    rows: int = 0
    replaced: int = 0
    """Files that a later commit replaced: vacuum removes them after a week."""
    orphans: int = 0
    """Files that no commit names: of a commit that is under way, or that never came about; vacuum removes these too."""
    orphan_size: int = 0


def status(settings: Settings, streams: list[str]) -> list[StreamStatus]:
    """The streams' states, as a reader of the lake sees them.

    Raises:
        TransientError: a server does not answer.
        TerminalError: a topic does not exist, or the store refuses.
    """
    ranges = kafka_ranges(settings, streams)
    found = []
    for stream in streams:
        # Listed before the table is opened: a file whose commit comes in between is no orphan.
        stored = _objects(settings, stream)
        uri = table_uri(settings, stream)
        places = [each for each in ranges if each.stream == stream]
        try:
            table = DeltaTable(uri, storage_options=storage_options(settings, "reader"))
            files = pa.table(table.get_add_actions(flatten=True))
            replaced = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=True)
            partitions = [
                PartitionStatus(
                    each.partition,
                    table.transaction_version(transaction_id(each.topic_id, each.partition)) or 0,
                    table.transaction_version(empty_id(each.topic_id, each.partition)) or 0,
                    each.start,
                    each.end,
                )
                for each in places
            ]
        except TableNotFoundError:
            behind = [PartitionStatus(each.partition, 0, 0, each.start, each.end) for each in places]
            found.append(StreamStatus(stream, behind))
            continue
        except (DeltaError, OSError) as error:
            raise store_fault(uri, error) from error
        current = files["path"].to_pylist() if files.num_rows else []
        orphans = unnamed(stored, [*current, *replaced])
        found.append(
            StreamStatus(
                stream,
                partitions,
                table.version(),
                len(current),
                _sum(files, "size_bytes"),
                _sum(files, "num_records"),
                len(set(replaced) & set(stored)),
                len(orphans),
                sum(stored[path] for path in orphans),
            )
        )
    return found


def unnamed(stored: Iterable[str], named: Iterable[str]) -> list[str]:
    """The stored files that are not among the named ones."""
    return sorted(set(stored) - set(named))


def _objects(settings: Settings, stream: str) -> dict[str, int]:
    """Paths below the table's, with their bytes; the log is left out."""
    prefix = f"{stream}/"
    try:
        return {
            item.object_name.removeprefix(prefix): int(item.size)
            for item in client(settings, "reader").list_objects(settings.lake_bucket, prefix=prefix, recursive=True)
            if not item.object_name.startswith(f"{prefix}_delta_log/")
        }
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise refusal(settings, error) from error


def _sum(files: pa.Table, column: str) -> int:
    return int(pc.sum(files[column]).as_py() or 0) if files.num_rows else 0
