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

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import from_arrow_schema

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.errors import NoTableError
from sluice.lake.layout import table_uri
from sluice.lake.ranges import Range
from sluice.lake.reader import LakeReader
from sluice.lakehouse.check import KEY, REASON, VALUE, Check, checked_schema, raw_schema
from sluice.lakehouse.layout import OWNER, QUARANTINE, open_table, path, raw_table, spark_path
from sluice.lakehouse.ledger import Batch, Ledger, last_loaded, plan, read_ledger, transaction
from sluice.lakehouse.spark.session import date_literal
from sluice.load.batch import LAKE_COLUMNS
from sluice.load.plan import new_ranges
from sluice.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """The result of a load."""

    stream: str
    rows: int = 0
    quarantined: int = 0
    seconds: float = 0.0


def load(spark: SparkSession, settings: Settings, contract: Contract) -> LoadReport:
    """Loads everything in the lake beyond the ledger. Only one load of a stream may run at a time.

    If a column's type has changed in the contract, all records are loaded again.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    started = time.monotonic()
    report = LoadReport(contract.stream)
    _create_raw_table(spark, settings, contract)
    ledger = read_ledger(settings, contract)
    if _has_other_types(spark, settings, contract):
        report = _rebuild(spark, settings, contract, ledger)
    elif ledger.unfinished:
        log.info("repeating the unfinished batch %d: stream=%s", ledger.unfinished.number, contract.stream)
        report = _run(spark, settings, contract, ledger.unfinished)
    try:
        lake = LakeReader(settings, contract.stream, OWNER)
    except NoTableError:
        # Nothing was ever sent.
        return report
    if ranges := new_ranges(ledger.next_offsets, lake.next_offsets()):
        batch = Batch(ledger.last + 1, list(ranges))
        plan(settings, contract, batch)
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
    ranges = read_ledger(settings, contract).ranges()
    if not ranges:
        return report
    records = read_lake(spark, settings, contract).where(within(ranges) & (f.col("event_date") == date_literal(day)))
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


def _create_raw_table(spark: SparkSession, settings: Settings, contract: Contract) -> None:
    """Creates the stream's raw table, so that models can read it before its first event."""
    if open_table(settings, raw_table(contract.table)) is None:
        empty = spark.createDataFrame([], from_arrow_schema(raw_schema(contract)))
        location = spark_path(path(settings, raw_table(contract.table)))
        empty.write.format("delta").mode("ignore").partitionBy("_event_date").save(location)


def _has_other_types(spark: SparkSession, settings: Settings, contract: Contract) -> bool:
    """Returns whether a column that the raw table has is of another type in the contract."""
    location = spark_path(path(settings, raw_table(contract.table)))
    found = {field.name: field.dataType for field in spark.read.format("delta").load(location).schema}
    expected = from_arrow_schema(raw_schema(contract))
    return any(found.get(field.name, field.dataType) != field.dataType for field in expected)


def _rebuild(spark: SparkSession, settings: Settings, contract: Contract, ledger: Ledger) -> LoadReport:
    """Replaces the raw table, whose columns no longer fit, by the lake's records up to the ledger's end."""
    log.info("a column has another type, so that all records are loaded again: stream=%s", contract.stream)
    records = read_lake(spark, settings, contract).where(within(ledger.ranges()))
    with _checked(records, settings, contract) as (valid, invalid):
        _replace(settings, _quarantine(contract, invalid), QUARANTINE, f"stream = '{contract.stream}'")
        writer = valid.repartition("_event_date").write.format("delta").mode("overwrite").partitionBy("_event_date")
        if ledger.unfinished:
            writer = _in_transaction(writer, contract, ledger.unfinished)
        writer.option("overwriteSchema", "true").save(spark_path(path(settings, raw_table(contract.table))))
        return LoadReport(contract.stream, valid.count(), invalid.count())


def _run(spark: SparkSession, settings: Settings, contract: Contract, batch: Batch) -> LoadReport:
    records = read_lake(spark, settings, contract).where(within(batch.ranges))
    with _checked(records, settings, contract) as (valid, invalid):
        quarantined = invalid.count()
        if quarantined:
            _append(settings, contract, batch, _quarantine(contract, invalid), QUARANTINE, "stream")
        # One file per date: rows of a date come from all partitions.
        _append(settings, contract, batch, valid.repartition("_event_date"), raw_table(contract.table), "_event_date")
        if last_loaded(settings, contract) != batch.number:
            # Delta ignores a commit whose number is not above the last one that the table has.
            raise TerminalError(
                f"{contract.stream}: the raw table has no commit of the batch {batch.number}",
                "delete `ops/` and `raw/` in the bucket of the warehouse: the next load fills them from the lake",
            )
        return LoadReport(contract.stream, valid.count(), quarantined)


def read_lake(spark: SparkSession, settings: Settings, contract: Contract) -> DataFrame:
    """Returns the lake's records of a stream."""
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


def within(ranges: Sequence[Range]) -> Column:
    """Returns a condition for the lake's records in any of the ranges."""
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
    _in_transaction(writer, contract, batch).save(spark_path(path(settings, table)))


def _in_transaction(writer: DataFrameWriter, contract: Contract, batch: Batch) -> DataFrameWriter:
    """Returns a writer whose commit a table ignores if it has the batch already."""
    return writer.option("txnAppId", transaction(contract)).option("txnVersion", batch.number)


def _replace(settings: Settings, rows: DataFrame, table: str, condition: str) -> None:
    """Replaces the rows of a table that meet a condition, in one commit; a table that does not exist has none."""
    if open_table(settings, table) is not None:
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", condition)
        writer.option("mergeSchema", "true").save(spark_path(path(settings, table)))
