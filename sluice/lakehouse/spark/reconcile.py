"""Counts on Spark how often each offset is in the lake, in the raw tables and in quarantine.

delta-rs has no part in what is counted of the lake: Spark reads its files, and what its log claims.
"""

from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.lake.layout import empty_id, table_uri, transaction_partition
from sluice.lake.ranges import PartitionKey
from sluice.lakehouse.layout import QUARANTINE, open_table, path, raw_table, spark_path
from sluice.lakehouse.ledger import read_ledger
from sluice.lakehouse.spark.load import read_lake, within
from sluice.settings import Settings

_PLACE = ("topic_id", "partition", "offset")


def reconcile(spark: SparkSession, settings: Settings, contract: Contract) -> list[dict[str, Any]]:
    """Returns fields of ``PartitionCounts`` for each partition of a stream. None of its loads may run meanwhile.

    Raises:
        TransientError: its last load is not finished, or the store is down.
        TerminalError: the store rejects a request.
    """
    ledger = read_ledger(settings, contract)
    if ledger.unfinished:
        raise TransientError(f"{contract.stream}: its last load is not finished", "run `make lakehouse`")
    claimed = _claimed(spark, spark_path(table_uri(settings, contract.stream)))
    if not claimed:
        # Nothing was ever sent.
        return []
    places = _places(read_lake(spark, settings, contract), "lake")
    if open_table(settings, table := raw_table(contract.table)):
        raw = _read(spark, settings, table).select(*(f.col(f"_{name}").alias(name) for name in _PLACE))
        places = places.unionByName(_places(raw, "raw"))
    if open_table(settings, QUARANTINE):
        records = _read(spark, settings, QUARANTINE).where(f.col("stream") == contract.stream)
        places = places.unionByName(_places(records, "quarantined"))
    counts = [row.asDict() for row in _counts(places, within(ledger.ranges())).collect()]
    found = {(row["topic_id"], row["partition"]): row for row in counts}
    return [
        {"stream": contract.stream, "topic_id": key[0], "partition": key[1], "claimed": claimed.get(key, 0)}
        | found.get(key, {})
        for key in sorted({*claimed, *found})
    ]


def _read(spark: SparkSession, settings: Settings, table: str) -> DataFrame:
    return spark.read.format("delta").load(spark_path(path(settings, table)))


def _claimed(spark: SparkSession, uri: str) -> dict[PartitionKey, int]:
    """Returns the records per partition that the transactions of the table's log claim; none if there is no table."""
    jvm, session = spark._jvm, spark._jsparkSession
    if not jvm.io.delta.tables.DeltaTable.isDeltaTable(session, uri):
        return {}
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(session, uri)
    versions: dict[str, int] = {}
    transactions = log.unsafeVolatileSnapshot().transactions().iterator()
    while transactions.hasNext():
        entry = transactions.next()
        versions[entry._1()] = entry._2()
    return {
        key: next_offset - versions.get(empty_id(*key), 0)
        for name, next_offset in versions.items()
        if (key := transaction_partition(name))
    }


def _places(rows: DataFrame, table: str) -> DataFrame:
    counters = [f.lit(int(name == table)).alias(name) for name in ("lake", "raw", "quarantined")]
    return rows.select(*_PLACE, *counters)


def _counts(places: DataFrame, loaded: Column) -> DataFrame:
    offsets = places.groupBy(*_PLACE).agg(*(f.sum(name).alias(name) for name in ("lake", "raw", "quarantined")))
    copies, in_lake = f.col("raw") + f.col("quarantined"), f.col("lake") > 0
    in_flight = in_lake & ~loaded & (copies == 0)
    faults = {"missing": in_lake & loaded & (copies == 0), "repeated": copies > 1, "foreign": ~in_lake}
    return offsets.groupBy("topic_id", "partition").agg(
        *(f.sum(name).alias(name) for name in ("lake", "raw", "quarantined")),
        f.count_if(in_lake).alias("distinct"),
        f.sum(f.when(in_flight, f.col("lake")).otherwise(0)).alias("in_flight"),
        *(f.count_if(condition).alias(name) for name, condition in faults.items()),
        *(f.min(f.when(condition, f.col("offset"))).alias(f"first_{name}") for name, condition in faults.items()),
    )
