"""Plans how a raw table follows its contract: only changes that lose nothing.

A contract that asks for anything else is refused before the first statement runs. The lake keeps every event as it was
received, so a column of another type can always be filled again under another name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from sluice.contracts import Contract, DataType
from sluice.errors import TerminalError

_SQL_TYPES = {
    "string": "text",
    "boolean": "boolean",
    "int32": "integer",
    "int64": "bigint",
    "float64": "double precision",
    "date": "date",
    "time": "time without time zone",
    "timestamp": "timestamp with time zone",
    "uuid": "uuid",
    "json": "jsonb",
}
METADATA_COLUMNS = {
    "_event_date": "date",
    "_lake_date": "date",
    "_topic_id": "text",
    "_partition": "integer",
    "_offset": "bigint",
    "_timestamp": "timestamp with time zone",
    "_loaded_at": "timestamp with time zone",
}
"""Columns of every raw table besides the contract's: where a row comes from, and when it was loaded."""
REQUIRED_METADATA = METADATA_COLUMNS.keys() - {"_timestamp", "_lake_date"}

# Not from bigint to double precision, which rounds beyond 2^53.
_WIDENED = {("integer", "bigint"), ("integer", "double precision")}
_INTEGER_DIGITS = {"integer": 10, "bigint": 19}
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_REMOVED = "No longer in the contract; kept for the rows that have it."
"""The comment of a column that the contract no longer has, so that its removal is reported once."""


def declared_columns(contract: Contract) -> dict[str, str]:
    """Returns the columns of a stream's raw table, with their types."""
    deleted = {"_deleted": "boolean"} if contract.deletes else {}
    return {column.name: sql_type(column.data_type) for column in contract.columns} | deleted | METADATA_COLUMNS


def required_columns(contract: Contract) -> set[str]:
    """Returns the columns that are never null. A tombstone has no values but its key's."""
    required = {column.name for column in contract.columns if not column.nullable}
    return {*(required & {contract.key} if contract.deletes else required), *REQUIRED_METADATA}


def sql_type(data_type: DataType) -> str:
    """Returns the Postgres type that stores a contract's type, as ``format_type`` spells it."""
    if data_type.item:
        return f"{sql_type(data_type.item)}[]"
    if data_type.kind == "decimal":
        return f"numeric({data_type.precision},{data_type.scale})"
    return _SQL_TYPES[data_type.kind]


def _is_widened(actual: str, declared: str) -> bool:
    """Returns whether every value of a Postgres type is one of another type, too."""
    if (actual, declared) in _WIDENED:
        return True
    after = _NUMERIC.fullmatch(declared)
    if after is None:
        return False
    precision, scale = int(after[1]), int(after[2])
    if before := _NUMERIC.fullmatch(actual):
        return int(before[2]) <= scale and int(before[1]) - int(before[2]) <= precision - scale
    return _INTEGER_DIGITS.get(actual, precision + 1) <= precision - scale


@dataclass(frozen=True)
class TableColumn:
    """A column as it is in the raw table."""

    data_type: str
    nullable: bool
    comment: str | None = None


@dataclass(frozen=True)
class Alteration:
    """A change of one column."""

    column: str
    text: str
    """What changes, for people."""
    action: str
    """What follows ``alter table … ``, with ``{}`` for the column; empty if only the comment changes."""
    comment: str | None = None
    changes_type: bool = False

    def statements(self, table: str) -> list[sql.Composed]:
        """Returns the statements that make the change."""
        column = sql.Identifier(self.column)
        comment = sql.SQL("comment on column {} is {}").format(
            sql.Identifier("raw", table, self.column), sql.Literal(self.comment)
        )
        if not self.action:
            return [comment]
        action = sql.SQL(self.action).format(column)
        alter = sql.SQL("alter table {} {}").format(sql.Identifier("raw", table), action)
        return [alter, comment] if self.comment else [alter]


def plan_alterations(contract: Contract, existing: Mapping[str, TableColumn]) -> list[Alteration]:
    """Returns what to change in a raw table so that it holds every event that is valid under its contract.

    A column that becomes required stays nullable: earlier rows may lack it, and later events are checked.

    Args:
        contract: of the stream.
        existing: the table's columns by name.

    Raises:
        TerminalError: a type changes in a way that could lose something.
    """
    declared, required = declared_columns(contract), required_columns(contract)
    alterations = []
    for name, data_type in declared.items():
        column = existing.get(name)
        if column is None:
            alterations.append(Alteration(name, f"{name}: added", f"add column {{}} {data_type}"))
            continue
        if column.data_type != data_type:
            if not _is_widened(column.data_type, data_type):
                raise _incompatible(contract, name, column.data_type, data_type)
            text = f"{name}: {column.data_type} → {data_type}"
            alterations.append(Alteration(name, text, f"alter column {{}} type {data_type}", changes_type=True))
        if name not in required and not column.nullable:
            alterations.append(Alteration(name, f"{name}: may be null", "alter column {} drop not null"))
        if column.comment == _REMOVED:
            alterations.append(Alteration(name, f"{name}: in the contract again", ""))
    for name, column in existing.items():
        if name not in declared and (not column.nullable or column.comment is None):
            action = "" if column.nullable else "alter column {} drop not null"
            text = f"{name}: no longer in the contract; the column stays, and new rows have null"
            alterations.append(Alteration(name, text, action, column.comment or _REMOVED))
    return alterations


def _incompatible(contract: Contract, name: str, actual: str, declared: str) -> TerminalError:
    types = {sql: name for name, sql in _SQL_TYPES.items()}
    former = f"set its type back to {types[actual]}" if actual in types else f"set its type back to what {actual} was"
    return TerminalError(
        f"raw.{contract.table}.{name} has type {actual}, but its contract declares {declared}, which may not hold every"
        " value",
        f"{former}, and declare a new column for the new type; the lake keeps the old events",
    )
