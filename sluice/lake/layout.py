"""How the lake is laid out: the only thing that the sink, which writes it, and the load, which reads it, share."""

from typing import Literal

import pyarrow as pa

from sluice.lake.bucket import access_key
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
"""One row per Kafka record, with its bytes as they came."""

NO_TIMESTAMP_DATE = 0
"""The date, in days since 1970, of a record that has no timestamp, or none that a calendar can hold."""

RANGES_KEY = "sluice.ranges"
"""The commit metadata that says which offsets a commit brought, with row counts and hashes, as JSON."""


def table_uri(settings: Settings, stream: str) -> str:
    """Where a stream's Delta table is."""
    return f"s3://{settings.lake_bucket}/{stream}"


def transaction_id(topic_id: str, partition: int) -> str:
    """The Delta application transaction whose version is the partition's next offset."""
    return f"{topic_id}/{partition}"


def empty_id(topic_id: str, partition: int) -> str:
    """The application transaction whose version counts the offsets below the partition's head that hold no record.

    Kafka's own marks around transactions, aborted records, and gaps that an operator recorded. It is there only for
    partitions that have any. As a transaction it outlives the commits' metadata, which goes when the log is cleaned.
    """
    return f"{topic_id}/{partition}/empty"


def storage_options(settings: Settings, user: Literal["writer", "reader", "keeper"]) -> dict[str, str]:
    """delta-rs's options for reaching the lake as that user."""
    return {
        "aws_access_key_id": access_key(user),
        "aws_secret_access_key": settings.secret(f"lake_{user}_password"),
        "aws_endpoint": f"http://{settings.minio}",
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_conditional_put": "etag",
        "connect_timeout": "3s",
        "timeout": "30s",
        # delta-rs asks eleven times. With waits of up to 15 s, its default, it would keep quiet for minutes about a
        # store that is down; whoever calls, a task or the sink, tries again anyway.
        "backoff_config.max_backoff": "2s",
    }
