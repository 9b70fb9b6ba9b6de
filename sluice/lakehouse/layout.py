"""Where the second warehouse keeps its tables: raw rows, quarantine, the ledger, models, and publications."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import pyarrow as pa
import urllib3
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from minio.error import MinioException, S3Error

from sluice.lake.bucket import Owner, client, minio_error
from sluice.lake.errors import store_error
from sluice.lake.layout import storage_options
from sluice.settings import Settings

OWNER: Owner = "lakehouse"
"""The owner of the keys that read the lake and write the warehouse."""
QUARANTINE = "raw/quarantine"
LEDGER = "ops/loads"
PUBLISHED = "marts"
"""The table of publications: which version of which table every mart is."""
STAGING = "staging"

LEDGER_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("batch", pa.int64()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("start_offset", pa.int64()),
        ("next_offset", pa.int64()),
        ("planned_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per partition that a batch takes offsets from."""
PUBLISHED_SCHEMA = pa.schema(
    [
        ("mart", pa.string()),
        ("table", pa.string()),
        ("version", pa.int64()),
        ("published_at", pa.timestamp("us", tz="UTC")),
    ]
)


def path(settings: Settings, table: str) -> str:
    """Returns the URI of a table of the warehouse for delta-rs and other readers."""
    return f"s3://{settings.warehouse_bucket}/{table}"


def spark_path(uri: str) -> str:
    """Returns a URI of the store as Spark's file system spells it."""
    return uri.replace("s3://", "s3a://", 1)


def raw_table(table: str) -> str:
    """Returns the name of a stream's raw table, below the bucket."""
    return f"raw/{table}"


def options(settings: Settings) -> dict[str, str]:
    """Returns the delta-rs options for the warehouse's tables."""
    return storage_options(settings, OWNER)


def open_table(settings: Settings, table: str, version: int | None = None) -> DeltaTable | None:
    """Returns a table of the warehouse, at its current version or at another one; None if it does not exist.

    Raises:
        TransientError, TerminalError: the store is down or rejects the request.
    """
    uri = path(settings, table)
    try:
        with _store_errors(uri):
            return DeltaTable(uri, version=version, storage_options=options(settings))
    except TableNotFoundError:
        return None


def read_rows(settings: Settings, table: str, **only: str) -> pa.Table | None:
    """Returns the rows of a small table whose columns have the given values; None if the table does not exist.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    current = open_table(settings, table)
    if current is None:
        return None
    with _store_errors(path(settings, table)):
        return current.to_pyarrow_table(filters=[(name, "=", value) for name, value in only.items()] or None)


def write_rows(settings: Settings, table: str, rows: pa.Table, mode: Literal["append", "overwrite"]) -> None:
    """Writes a small table in one commit, and creates it if need be.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    uri = path(settings, table)
    with _store_errors(uri):
        write_deltalake(uri, rows, mode=mode, storage_options=options(settings))


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """Turns errors of delta-rs into the platform's; a table that does not exist is none."""
    try:
        yield
    except TableNotFoundError:
        raise
    except (DeltaError, OSError) as error:
        raise store_error(uri, error) from error


def built(settings: Settings) -> list[str]:
    """Returns the names of the tables that models have built.

    Raises:
        TransientError, TerminalError: the store is down or rejects the request.
    """
    try:
        found = client(settings, OWNER).list_objects(bucket_name=settings.warehouse_bucket, prefix=f"{STAGING}/")
        names = [str(folder.object_name).removeprefix(f"{STAGING}/").rstrip("/") for folder in found]
        # The folder itself may be listed too.
        return [name for name in names if name]
    except (S3Error, MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error, settings.warehouse_bucket) from error


def published(settings: Settings) -> Mapping[str, tuple[str, int]]:
    """Returns the table and the version that each published mart is; none before the first publication.

    Raises:
        TransientError, TerminalError: the store is down or rejects the request.
    """
    rows = read_rows(settings, PUBLISHED)
    if rows is None:
        return {}
    return {row["mart"]: (row["table"], row["version"]) for row in rows.to_pylist()}
