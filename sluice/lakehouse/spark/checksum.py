"""The checksums of ``sluice.warehouse.checksum``, computed by Spark."""

from datetime import date

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import DataType, DateType, DecimalType, DoubleType, FloatType, StringType, TimestampType

from sluice.lakehouse.layout import path, published, spark_path
from sluice.lakehouse.spark.session import date_literal
from sluice.settings import Settings
from sluice.warehouse.checksum import Checksum


@f.arrow_udf(StringType())  # type: ignore[untyped-decorator, unused-ignore]
def _bits(numbers: pa.Array) -> pa.Array:
    """Returns the bytes of floating-point numbers in hexadecimal."""
    data = numbers.fill_null(0.0).to_numpy(zero_copy_only=False).astype(">f8").tobytes().hex()
    texts = [data[start : start + 16] for start in range(0, len(data), 16)]
    return pa.array(texts, pa.string(), mask=numbers.is_null().to_numpy(zero_copy_only=False))


def marts(spark: SparkSession, settings: Settings, first: date, last: date) -> dict[str, dict[date | None, Checksum]]:
    """Returns checksums of every published mart per date, as ``sluice.warehouse.checksum.marts`` does."""
    checksums: dict[str, dict[date | None, Checksum]] = {}
    for mart, (table, version) in published(settings).items():
        location = spark_path(path(settings, table))
        rows = spark.read.format("delta").option("versionAsOf", version).load(location)
        checksums[mart] = _by_date(rows, first, last)
    return checksums


def _by_date(rows: DataFrame, first: date, last: date) -> dict[date | None, Checksum]:
    kinds = {field.name: field.dataType for field in rows.schema.fields}
    digest = f.substring(f.md5(_row_text(kinds).cast("binary")), 1, 15)
    number = f.conv(digest, 16, 10).cast("decimal(20,0)")
    dated = rows.select(_date_of(kinds).alias("day"), number.alias("hash"))
    dated = dated.where(f.col("day").between(date_literal(first), date_literal(last)) | f.col("day").isNull())
    sums = dated.groupBy("day").agg(f.count("*").alias("rows"), f.sum("hash").alias("hash"))
    return {row["day"]: Checksum(row["rows"], str(row["hash"])) for row in sums.collect()}


def _date_of(kinds: dict[str, DataType]) -> Column:
    """Returns the date of a row: its first column of type date, or else the UTC date of its first timestamp."""
    for kind in (DateType, TimestampType):
        for name, found in kinds.items():
            if isinstance(found, kind):
                return f.col(name).cast("date")
    return f.lit(None).cast("date")


def _row_text(kinds: dict[str, DataType]) -> Column:
    parts: list[Column] = []
    for name in sorted(kinds):
        text = _value_text(f.col(name), kinds[name])
        # Nulls are left out.
        parts += [f.octet_length(text).cast("string"), f.lit(":"), text]
    return f.concat_ws("", *parts)


def _value_text(column: Column, kind: DataType) -> Column:
    if isinstance(kind, DoubleType | FloatType):
        return _bits(column.cast("double"))
    if isinstance(kind, TimestampType):
        return f.concat(column.cast("string"), f.lit("+00"))
    if isinstance(kind, DecimalType) and kind.scale:
        return f.regexp_replace(column.cast("string"), r"\.?0+$", "")
    return column.cast("string")
