"""The Arrow types in which a batch holds the columns of its contract."""

import pyarrow as pa

from sluice.contracts import Column, Contract
from sluice.contracts.values import TEXT_KINDS
from sluice.warehouse.alterations import DELETED
from sluice.warehouse.copy import AS_TEXT

ARROW_TYPES = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    **dict.fromkeys(TEXT_KINDS, pa.string()),
}
"""By the kind of a contract's type."""


def arrow_schema(contract: Contract) -> pa.Schema:
    """Returns the contract's columns as a schema; columns that hold Postgres' text are marked for ``copy_rows``."""
    deleted = [pa.field(DELETED, pa.bool_())] if contract.deletes else []
    return pa.schema([*map(_field, contract.columns), *deleted])


def _field(column: Column) -> pa.Field:
    kind = column.data_type.kind
    return pa.field(column.name, ARROW_TYPES[kind], metadata=AS_TEXT if kind in TEXT_KINDS else None)


def stored_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type that an event's values have: integers for times, because Python's do not hold all years."""
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date(kind) else kind
