"""Reports the lake's state per stream, and its lag behind Kafka."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import urllib3
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from minio.error import MinioException

from sluice.kafka.topics import kafka_ranges
from sluice.lake.bucket import client, minio_error
from sluice.lake.errors import store_error
from sluice.lake.layout import ARCHIVE, empty_id, storage_options, table_uri, transaction_id
from sluice.settings import Settings


@dataclass(frozen=True)
class PartitionStatus:
    """One partition: the lake's next offset, and the offsets that Kafka holds."""

    partition: int
    next_offset: int
    empty: int
    """Offsets below the next offset that have no record."""
    start: int
    """The first offset in Kafka."""
    end: int
    """The end of the partition in Kafka (exclusive)."""

    @property
    def lag(self) -> int:
        """Offsets that are in Kafka but not yet in the lake."""
        return max(self.end - self.next_offset, 0)


@dataclass(frozen=True)
class StreamStatus:
    """One stream: its partitions and its table. ``version`` is None until the sink has created the table."""

    stream: str
    partitions: list[PartitionStatus]
    version: int | None = None
    files: int = 0
    size: int = 0
    """Total size of the files, in bytes."""
    rows: int = 0
    replaced: int = 0
    """Files that a later commit replaced. Vacuum removes them after a week."""
    orphans: int = 0
    """Files that no commit references: of a commit in progress or one that never happened. Vacuum removes them too."""
    orphan_size: int = 0
    """Total size of the orphans, in bytes."""


def status(settings: Settings, topics: Mapping[str, str]) -> list[StreamStatus]:
    """Returns the status of each stream, as the lake's reader sees it.

    Args:
        settings: the addresses of the servers.
        topics: the name of the topic of each stream.

    Raises:
        TransientError: a server is down.
        TerminalError: a topic does not exist, or the store rejects a request.
    """
    ranges = kafka_ranges(settings, topics)
    statuses = []
    for stream in topics:
        # Listed before the table is opened, so that a file committed in between does not count as an orphan.
        stored = _list_objects(settings, stream)
        uri = table_uri(settings, stream)
        stream_ranges = [kafka_range for kafka_range in ranges if kafka_range.stream == stream]
        try:
            table = DeltaTable(uri, storage_options=storage_options(settings, "reader"))
            files = pa.table(table.get_add_actions(flatten=True))
            replaced = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=True)
            partitions = [
                PartitionStatus(
                    kafka_range.partition,
                    table.transaction_version(transaction_id(kafka_range.topic_id, kafka_range.partition)) or 0,
                    table.transaction_version(empty_id(kafka_range.topic_id, kafka_range.partition)) or 0,
                    kafka_range.start,
                    kafka_range.end,
                )
                for kafka_range in stream_ranges
            ]
        except TableNotFoundError:
            partitions = [
                PartitionStatus(kafka_range.partition, 0, 0, kafka_range.start, kafka_range.end)
                for kafka_range in stream_ranges
            ]
            statuses.append(StreamStatus(stream, partitions))
            continue
        except (DeltaError, OSError) as error:
            raise store_error(uri, error) from error
        current = files["path"].to_pylist() if files.num_rows else []
        orphans = find_orphans(stored, [*current, *replaced])
        statuses.append(
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
    return statuses


def find_orphans(stored: Iterable[str], referenced: Iterable[str]) -> list[str]:
    """Returns the stored files that are not referenced, sorted."""
    return sorted(set(stored) - set(referenced))


def _list_objects(settings: Settings, stream: str) -> dict[str, int]:
    """Returns path and size of the table's objects, except its log and archive. Paths are relative to the table."""
    prefix = f"{stream}/"
    try:
        return {
            item.object_name.removeprefix(prefix): int(item.size)
            for item in client(settings, "reader").list_objects(settings.lake_bucket, prefix=prefix, recursive=True)
            if not item.object_name.removeprefix(prefix).startswith(("_delta_log/", f"{ARCHIVE}/"))
        }
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def _sum(files: pa.Table, column: str) -> int:
    return int(pc.sum(files[column]).as_py() or 0) if files.num_rows else 0
