"""Loads the lake into the warehouse's Delta tables on Spark: every offset exactly once, as a row or in quarantine.

A load first writes its plan to the ledger: the number of its batch, and the offsets that it takes. Then it appends the
batch to quarantine and to the stream's raw table, each in one commit with Delta's application transaction of that
number. A batch of which the raw table has the transaction is done. Any other is repeated with the same offsets, and
Delta ignores a commit whose transaction the table has already. So it does not matter where a load was killed, or which
of its tasks Spark has run twice: files that no commit names are invisible.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import from_arrow_schema

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.errors import NoTableError
from sluice.lake.layout import table_uri
from sluice.lake.ranges import PartitionKey, Range
from sluice.lake.reader import LakeReader
from sluice.lakehouse.check import KEY, REASON, VALUE, Check, checked_schema, raw_schema
from sluice.lakehouse.layout import (
    LEDGER,
    LEDGER_SCHEMA,
    OWNER,
    QUARANTINE,
    open_table,
    options,
    path,
    raw_table,
    spark_path,
)
from sluice.load.batch import LAKE_COLUMNS
from sluice.load.plan import new_ranges
from sluice.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What one load takes from a stream."""

    number: int
    """1 for the stream's first batch."""
    ranges: list[Range]


@dataclass(frozen=True)
class LoadReport:
    """The result of a load."""

    stream: str
    rows: int = 0
    quarantined: int = 0
    seconds: float = 0.0


def load(spark: SparkSession, settings: Settings, contract: Contract) -> LoadReport:
    """Loads everything in the lake beyond the ledger. Only one load of a stream may run at a time.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    _create_raw_table(spark, settings, contract)
    unfinished, next_offsets = read_ledger(settings, contract)
    if unfinished:
        log.info("repeating the unfinished batch %d: stream=%s", unfinished.number, contract.stream)
        report = _run(spark, settings, contract, unfinished)
    try:
        lake = LakeReader(settings, contract.stream, OWNER)
    except NoTableError:
        # Nothing was ever sent.
        return report
    if ranges := new_ranges(next_offsets, lake.next_offsets()):
        batch = _plan(settings, contract, ranges)
        added = _run(spark, settings, contract, batch)
        report = replace(added, rows=report.rows + added.rows, quarantined=report.quarantined + added.quarantined)
    return replace(report, seconds=time.monotonic() - started)


def reload(spark: SparkSession, settings: Settings, contract: Contract, day: date) -> LoadReport:
    """Checks one date of the lake again, up to the ledger's end, and replaces its rows and its invalid records.

    Idempotent: a reload that was killed between the two is repeated. Only one load of a stream may run at a time.

    Args:
        spark: the session.
        settings: of the platform.
        contract: of the stream.
        day: the UTC date of the records' timestamps, which is that of the events where they are sent at once.

    Raises:
        TransientError, TerminalError: as ``load``.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    _, next_offsets = read_ledger(settings, contract)
    if not next_offsets:
        return report
    ranges = [Range(*key, 0, next_offset) for key, next_offset in next_offsets.items()]
    records = _lake(spark, settings, contract).where(_within(ranges) & (f.col("event_date") == f.lit(day)))
    with _checked(records, settings, contract) as (valid, invalid):
        rows = valid.repartition("_event_date")
        in_raw = f"coalesce(_lake_date, _event_date) = date'{day}'"
        _replace(
            settings,
            _quarantine(contract, invalid),
            QUARANTINE,
            f"stream = '{contract.stream}' and event_date = date'{day}'",
        )
        _replace(settings, rows, raw_table(contract.table), in_raw)
        report = LoadReport(contract.stream, valid.count(), invalid.count())
    return replace(report, seconds=time.monotonic() - started)


def read_ledger(settings: Settings, contract: Contract) -> tuple[Batch | None, dict[PartitionKey, int]]:
    """Returns the stream's unfinished batch, if there is one, and the next offset after all planned ones.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    ledger = open_table(settings, LEDGER)
    if ledger is None:
        return None, {}
    rows = ledger.to_pyarrow_table(filters=[("stream", "=", contract.stream)])
    next_offsets: dict[PartitionKey, int] = {}
    for row in rows.to_pylist():
        key = row["topic_id"], row["partition"]
        next_offsets[key] = max(row["next_offset"], next_offsets.get(key, 0))
    last = pc.max(rows["batch"]).as_py() or 0
    if last <= _done(settings, contract):
        return None, next_offsets
    names = ("topic_id", "partition", "start_offset", "next_offset")
    planned = rows.filter(pc.equal(rows["batch"], last)).to_pylist()
    return Batch(last, [Range(*(row[name] for name in names)) for row in planned]), next_offsets


def _done(settings: Settings, contract: Contract) -> int:
    """Returns the number of the last batch that the raw table has; 0 for none."""
    table = open_table(settings, raw_table(contract.table))
    return (table.transaction_version(_transaction(contract)) or 0) if table else 0


def _transaction(contract: Contract) -> str:
    """Returns the id of the application transaction whose version is the number of the last batch."""
    return f"load/{contract.stream}"


def _plan(settings: Settings, contract: Contract, ranges: Sequence[Range]) -> Batch:
    batch = Batch(_done(settings, contract) + 1, list(ranges))
    now = datetime.now(UTC)
    rows = [
        {
            "stream": contract.stream,
            "batch": batch.number,
            "topic_id": offsets.topic_id,
            "partition": offsets.partition,
            "start_offset": offsets.start_offset,
            "next_offset": offsets.next_offset,
            "planned_at": now,
        }
        for offsets in ranges
    ]
    ledger = pa.Table.from_pylist(rows, LEDGER_SCHEMA)
    write_deltalake(path(settings, LEDGER), ledger, mode="append", storage_options=options(settings))
    return batch


def _create_raw_table(spark: SparkSession, settings: Settings, contract: Contract) -> None:
    """Creates the stream's raw table, so that models can read it before its first event."""
    if open_table(settings, raw_table(contract.table)) is None:
        empty = spark.createDataFrame([], from_arrow_schema(raw_schema(contract)))
        location = spark_path(path(settings, raw_table(contract.table)))
        empty.write.format("delta").mode("ignore").partitionBy("_event_date").save(location)


def _run(spark: SparkSession, settings: Settings, contract: Contract, batch: Batch) -> LoadReport:
    records = _lake(spark, settings, contract).where(_within(batch.ranges))
    with _checked(records, settings, contract) as (valid, invalid):
        quarantined = invalid.count()
        if quarantined:
            _append(settings, contract, batch, _quarantine(contract, invalid), QUARANTINE, "stream")
        # One file per date: rows of a date come from all partitions.
        _append(settings, contract, batch, valid.repartition("_event_date"), raw_table(contract.table), "_event_date")
        if _done(settings, contract) != batch.number:
            # Another plan with this number would be ignored where this batch is.
            raise TerminalError(
                f"{contract.stream}: the raw table has no commit of the batch {batch.number}",
                "run `make lakehouse` again",
            )
        return LoadReport(contract.stream, valid.count(), quarantined)


def _lake(spark: SparkSession, settings: Settings, contract: Contract) -> DataFrame:
    return spark.read.format("delta").load(spark_path(table_uri(settings, contract.stream)))


@contextmanager
def _checked(records: DataFrame, settings: Settings, contract: Contract) -> Iterator[tuple[DataFrame, DataFrame]]:
    """Yields the rows of valid records, and the invalid records with their reasons."""
    check = Check(contract, datetime.now(UTC), settings if contract.format != "json" else None)
    checked = records.select(LAKE_COLUMNS).mapInArrow(check, from_arrow_schema(checked_schema(contract)))
    # Checked once, and written twice.
    checked = checked.persist(StorageLevel.DISK_ONLY)
    try:
        valid = checked.where(f.col(REASON).isNull()).drop(REASON, KEY, VALUE)
        yield valid, checked.where(f.col(REASON).isNotNull())
    finally:
        checked.unpersist()


def _within(ranges: Sequence[Range]) -> Column:
    condition = f.lit(False)
    for offsets in ranges:
        condition |= (
            (f.col("topic_id") == offsets.topic_id)
            & (f.col("partition") == offsets.partition)
            & (f.col("offset") >= offsets.start_offset)
            & (f.col("offset") < offsets.next_offset)
        )
    return condition


def _quarantine(contract: Contract, invalid: DataFrame) -> DataFrame:
    names = ["topic_id", "partition", "offset", "timestamp", "event_date", "key", "value", "reason", "loaded_at"]
    return invalid.select(f.lit(contract.stream).alias("stream"), *(f.col(f"_{name}").alias(name) for name in names))


def _append(
    settings: Settings, contract: Contract, batch: Batch, rows: DataFrame, table: str, partition_column: str
) -> None:
    writer = rows.write.format("delta").mode("append").partitionBy(partition_column).option("mergeSchema", "true")
    writer = writer.option("txnAppId", _transaction(contract)).option("txnVersion", batch.number)
    writer.save(spark_path(path(settings, table)))


def _replace(settings: Settings, rows: DataFrame, table: str, condition: str) -> None:
    """Replaces the rows of a table that meet a condition, in one commit; a table that does not exist has none."""
    if open_table(settings, table) is not None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
        writer.option("mergeSchema", "true").save(spark_path(path(settings, table)))
