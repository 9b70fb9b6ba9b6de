"""Plans how a raw table follows its contract: only changes that lose nothing.

A change that some rows have no room for names them by a condition. The contract is refused, before the first statement
runs, if there are such rows. The lake keeps every event as it was received, so a column of another type can always be
filled under another name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from sluice.contracts import Column, Contract, DataType
from sluice.warehouse.narrowing import conversion, misfits

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
DELETED = "_deleted"
"""The column that says of a tombstone that it is one; only of streams whose contract has ``deletes``."""
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

_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")
_REMOVED = "No longer in the contract; kept for the rows that have it."
"""The comment of a column that the contract no longer has, so that its removal is reported once."""
_ADDED = "Required since it was added; null in rows that were loaded before."
"""The comment of a required column that is null in earlier rows. It becomes not null once no row lacks it."""


def declared_columns(contract: Contract) -> dict[str, str]:
    """Returns the columns of a stream's raw table, with their types."""
    deleted = {DELETED: "boolean"} if contract.deletes else {}
    return {column.name: sql_type(column.data_type) for column in contract.columns} | deleted | METADATA_COLUMNS


def required_columns(contract: Contract) -> set[str]:
    """Returns the columns that are never null. A tombstone has no values but those of its id."""
    required = {column.name for column in contract.columns if not column.nullable}
    return {*(required & {*contract.id_columns} if contract.deletes else required), *REQUIRED_METADATA}


def sql_type(data_type: DataType) -> str:
    """Returns the Postgres type that stores a contract's type, as ``format_type`` spells it."""
    if data_type.item:
        return f"{sql_type(data_type.item)}[]"
    if data_type.kind == "decimal":
        return f"numeric({data_type.precision},{data_type.scale})"
    return _SQL_TYPES[data_type.kind]


def _contract_type(sql_type: str) -> str | None:
    """Returns the contract's type that a Postgres type stores; None if there is none."""
    if sql_type.endswith("[]"):
        item = _contract_type(sql_type.removesuffix("[]"))
        return item and f"array({item})"
    if match := _DECIMAL.fullmatch(sql_type):
        return f"decimal({match[1]}, {match[2]})"
    return next((name for name, stored in _SQL_TYPES.items() if stored == sql_type), None)


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
    action: str = ""
    """What follows ``alter table … ``, with ``{}`` or ``{0}`` for the column; empty if only the comment changes."""
    comment: str | None = None
    """The column's new comment, none if it is empty; None leaves it as it is."""
    changes_type: bool = False
    misfits: str = ""
    """A condition on a row ``t`` of the table, for rows that the changed column has no room for; empty if it has."""
    hint: str = ""
    """What to do if there are such rows."""
    waits: bool = False
    """Whether the change waits until there are no such rows. The contract is refused otherwise."""
    needed_by_loads: bool = True
    """Whether the table cannot take every valid event before the change."""

    def statements(self, table: str) -> list[sql.Composed]:
        """Returns the statements that make the change."""
        statements = []
        if self.action:
            action = sql.SQL(self.action).format(sql.Identifier(self.column))
            statements.append(sql.SQL("alter table {} {}").format(sql.Identifier("raw", table), action))
        if self.comment is not None:
            statements.append(
                sql.SQL("comment on column {} is {}").format(
                    sql.Identifier("raw", table, self.column), sql.Literal(self.comment)
                )
            )
        return statements


def plan_alterations(contract: Contract, existing: Mapping[str, TableColumn]) -> list[Alteration]:
    """Returns what to change in a raw table so that it has the columns of its contract.

    Limits such as ``minimum`` or ``max_length`` are not among them: they concern the events that are read from now on.

    Args:
        contract: of the stream.
        existing: the table's columns by name.
    """
    declared, required = declared_columns(contract), required_columns(contract)
    alterations = []
    for name, data_type in declared.items():
        column = existing.get(name)
        if column is None:
            alterations.append(_added(name, data_type, required=name in required))
            continue
        if column.data_type != data_type:
            alterations.append(_type_changed(name, column.data_type, data_type, contract.column(name)))
        if name not in required and not column.nullable:
            alterations.append(Alteration(name, f"{name}: may be null", "alter column {} drop not null"))
        if column.comment == _REMOVED:
            comment = _ADDED if name in required and column.nullable else ""
            text = f"{name}: in the contract again"
            alterations.append(Alteration(name, text, comment=comment, needed_by_loads=False))
        elif name in required and column.nullable:
            alterations.append(_required(name, waits=column.comment == _ADDED))
    for name, column in existing.items():
        if name not in declared and (not column.nullable or column.comment in (None, _ADDED)):
            action = "" if column.nullable else "alter column {} drop not null"
            text = f"{name}: no longer in the contract; the column stays, and new rows have null"
            comment = column.comment if column.comment not in (None, _ADDED) else _REMOVED
            alterations.append(Alteration(name, text, action, comment, needed_by_loads=bool(action)))
    return alterations


def _added(name: str, data_type: str, required: bool) -> Alteration:
    text = f"{name}: added"
    if name not in METADATA_COLUMNS:
        text += "; null in earlier rows until `make backfill` reloads their dates"
    return Alteration(name, text, f"add column {{}} {data_type}", _ADDED if required else None)


def _required(name: str, waits: bool) -> Alteration:
    return Alteration(
        name,
        f"{name}: required",
        "alter column {} set not null",
        comment="" if waits else None,
        misfits=f"t.{name} is null",
        hint="reload the dates of these rows with `make backfill`, which fills the column or moves their events to"
        " quarantine, and run `make up` again; or set nullable: true",
        waits=waits,
        needed_by_loads=False,
    )


def _type_changed(name: str, before: str, after: str, declared: Column | None) -> Alteration:
    former = _contract_type(before)
    using = conversion(before, after)
    # Without a value to keep, there is nothing to convert.
    expression = "null" if using is None else using
    paths = ", ".join((declared.sources if declared else None) or (name,))
    return Alteration(
        name,
        f"{name}: {before} → {after}",
        f"alter column {{0}} type {after}" + (f" using {expression}" if expression else ""),
        changes_type=True,
        # A row's column needs no quotes, whatever its name is: a person copies the condition into a shell.
        misfits=misfits(f"t.{name}", before, after),
        hint=f"set its type back{f' to {former}' if former else ''}, and declare a column of another name for the new"
        f" type, with `from: {paths}`",
    )
