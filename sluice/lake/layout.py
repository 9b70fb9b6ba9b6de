"""The lake's layout: the only code shared by the sink, which writes the lake, and the load, which reads it."""

import os
import re

import pyarrow as pa

from sluice.lake.bucket import Owner, credentials
from sluice.settings import Settings

PARTITION_COLUMN = "event_date"

SCHEMA = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field(
            "headers",
            pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", pa.binary())])),
        ),
        pa.field(PARTITION_COLUMN, pa.date32(), nullable=False),
    ]
)
"""One row per Kafka record, with its bytes unchanged."""

NO_TIMESTAMP_DATE = 0
"""The date, in days since 1970, of a record without a timestamp, or with one outside the years 1 to 9999."""

RANGES_KEY = "sluice.ranges"
"""The key in the commit metadata of the offset ranges that a commit wrote, with row counts and hashes, as JSON."""


_NEXT_OFFSET = re.compile(r"([^/]+)/(\d+)")

ARCHIVE = "_ranges"
"""The folder of a table that keeps its commits' ranges. Delta ignores folders that begin with an underscore."""


def table_uri(settings: Settings, stream: str) -> str:
    """Returns the URI of a stream's Delta table."""
    return f"s3://{settings.lake_bucket}/{stream}"


def transaction_id(topic_id: str, partition: int) -> str:
    """Returns the id of the Delta application transaction whose version is the partition's next offset."""
    return f"{topic_id}/{partition}"


def transaction_partition(name: str) -> tuple[str, int] | None:
    """Returns the topic id and partition whose next offset a transaction has; None if it has something else."""
    match = _NEXT_OFFSET.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def empty_id(topic_id: str, partition: int) -> str:
    """Returns the id of the application transaction that counts offsets without a record below the next offset.

    These are Kafka's transaction markers, aborted records, and gaps that an operator recorded. The transaction exists
    only for partitions that have such offsets. It outlives the commit metadata, which is lost when the log is cleaned.
    """
    return f"{topic_id}/{partition}/empty"


def last_id(topic_id: str, partition: int) -> str:
    """Returns the id of the application transaction that tells the record before the next offset from any other.

    Its version is a digest of that record; 0 if that offset has none, and nothing for commits of earlier versions.
    """
    return f"{topic_id}/{partition}/last"


def gap_id(topic_id: str, partition: int, start_offset: int) -> str:
    """Returns the id of the application transaction that records a hole behind the next offset as lost.

    Its version is the first offset after the hole.
    """
    return f"{topic_id}/{partition}/gap/{start_offset}"


def storage_options(settings: Settings, owner: Owner) -> dict[str, str]:
    """Returns the delta-rs options for accessing the store with an owner's keys."""
    if settings.s3_ca_file and os.environ.get("SSL_CERT_FILE") != str(settings.s3_ca_file):
        # delta-rs has no option for it: it reads this variable whenever it opens a store.
        os.environ["SSL_CERT_FILE"] = str(settings.s3_ca_file)
    access_key, secret_key = credentials(settings, owner)
    return {
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
        "aws_endpoint": settings.lake_endpoint,
        "aws_allow_http": str(settings.lake_endpoint.startswith("http:")).lower(),
        "aws_region": settings.s3_region,
        "aws_conditional_put": "etag",
        "connect_timeout": "3s",
        "timeout": "30s",
        # delta-rs makes eleven attempts. With its default backoff of up to 15 s it takes minutes to report that the
        # store is down. Its callers, tasks and the sink, retry anyway.
        "backoff_config.max_backoff": "2s",
    }
