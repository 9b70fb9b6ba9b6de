"""Checks lake records on Spark's workers, with the same function that checks a batch for Postgres."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from sluice.contracts import Contract
from sluice.lake.layout import SCHEMA
from sluice.load.arrow_types import arrow_schema
from sluice.load.batch import LAKE_COLUMNS, METADATA_COLUMNS, read_batch
from sluice.registry import decoder
from sluice.settings import Settings

REASON, KEY, VALUE = "_reason", "_key", "_value"
"""The columns of an invalid record, beside its place; a valid one has nulls there."""

_TIME = pa.timestamp("us", tz="UTC")
_METADATA_TYPES = {"lake_date": pa.date32()}


def metadata_fields() -> list[pa.Field]:
    """Returns the fields of every raw row that are not in its contract."""
    kinds = {field.name: field.type for field in SCHEMA} | _METADATA_TYPES
    return [pa.field(f"_{name}", kinds[name]) for name in METADATA_COLUMNS] + [pa.field("_loaded_at", _TIME)]


def raw_schema(contract: Contract) -> pa.Schema:
    """Returns the columns of a stream's raw table."""
    return pa.schema([*(pa.field(field.name, field.type) for field in arrow_schema(contract)), *metadata_fields()])


def checked_schema(contract: Contract) -> pa.Schema:
    """Returns the columns of checked records: those of raw rows, and those of an invalid record."""
    invalid = [pa.field(REASON, pa.string()), pa.field(KEY, pa.binary()), pa.field(VALUE, pa.binary())]
    return pa.schema([*raw_schema(contract), *invalid])


@dataclass(frozen=True)
class Check:
    """The function that Spark's workers apply to the lake's records."""

    contract: Contract
    loaded_at: datetime
    settings: Settings | None = None
    """Of values with a schema id, for the registry; otherwise None: workers get no secret without need."""

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields each batch of ``LAKE_COLUMNS`` as checked records."""
        decode = decoder(self.contract, self.settings) if self.settings else None
        lake = pa.schema([SCHEMA.field(name) for name in LAKE_COLUMNS])
        schema = checked_schema(self.contract)
        for records in batches:
            if not records.num_rows:
                continue
            batch = read_batch(self.contract, pa.Table.from_batches([records]).cast(lake), decode=decode)
            valid, rows, invalid = batch.valid(), batch.columns.rows, batch.invalid
            for name in valid.column_names:
                rows = rows.append_column(f"_{name}", valid[name])
            yield from self._complete(rows, schema).to_batches()
            if invalid.num_rows:
                columns = {f"_{name}": invalid[name] for name in invalid.column_names}
                columns[REASON] = pa.chunked_array([pa.array(batch.columns.reasons, pa.string())])
                yield from self._complete(pa.table(columns), schema).to_batches()

    def _complete(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        """Returns rows with all columns of the schema: the load's time, and nulls for those that they lack."""
        loaded_at = pa.repeat(pa.scalar(self.loaded_at, _TIME), rows.num_rows)
        rows = rows.append_column("_loaded_at", loaded_at)
        columns = [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in schema
        ]
        return pa.table(columns, schema=schema)
