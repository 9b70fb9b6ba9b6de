"""The result of an SQL statement as CSV, as a table, or as JSON, whatever its values hold."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.cells import cell_len

from sluice.escaping import escape, escape_json, json_line

FORMATS = ("csv", "table", "json")
_INTEGERS = {20, 21, 23, 26}
_NUMBERS = {700, 701, 1700, *_INTEGERS}
_BOOLEAN = 16
_DOCUMENTS = {114, 3802}
"""Types by Postgres's ids: int8, int2, int4, oid; float4, float8, numeric; json, jsonb."""


@dataclass(frozen=True)
class Result:
    """The result of a statement."""

    columns: list[tuple[str, int]]
    """Name and Postgres's id of the type of each column; empty if the statement returns no rows."""
    rows: Iterable[tuple[str | None, ...]]
    """Values as Postgres writes them; None for null."""
    status: str
    """Postgres's summary, such as ``UPDATE 3``."""


def write_result(result: Result, format_name: str) -> None:
    """Prints a result in one of ``FORMATS``; a statement that returns no rows prints its summary."""
    if not result.columns:
        print(json_line({"status": result.status}) if format_name == "json" else escape(result.status))
    elif format_name == "json":
        for row in result.rows:
            print(_json_row(result.columns, row))
    elif format_name == "table":
        for line in _table(result):
            print(line)
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(escape(name) for name, _ in result.columns)
        for row in result.rows:
            writer.writerow(None if value is None else escape(value) for value in row)


def _json_row(columns: list[tuple[str, int]], row: tuple[str | None, ...]) -> str:
    fields = (f"{json_line(name)}: {_json(value, code)}" for (name, code), value in zip(columns, row, strict=True))
    return f"{{{', '.join(fields)}}}"


def _json(value: str | None, type_code: int) -> str:
    """Returns a value as JSON: numbers keep all their digits, and what JSON has no type for is a string."""
    if value is None:
        return "null"
    if type_code == _BOOLEAN:
        return "true" if value == "t" else "false"
    if type_code in _DOCUMENTS:
        return escape_json(value)
    # Not NaN and Infinity, which JSON lacks.
    if type_code in _NUMBERS and value.lstrip("-")[:1].isdigit():
        return value
    return json_line(value)


def _table(result: Result) -> Iterator[str]:
    """Yields a header, a rule, a line per row, and the number of rows. Numbers are aligned to the right."""
    header = tuple(escape(name) for name, _ in result.columns)
    rows = [tuple("null" if value is None else escape(value) for value in row) for row in result.rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    right = [code in _NUMBERS for _, code in result.columns]
    yield _line(header, widths, right)
    yield "  ".join("─" * width for width in widths)
    for row in rows:
        yield _line(row, widths, right)
    yield f"({len(rows):,} {'row' if len(rows) == 1 else 'rows'})"


def _line(cells: tuple[str, ...], widths: list[int], right: list[bool]) -> str:
    padded = []
    for cell, width, is_right in zip(cells, widths, right, strict=True):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if is_right else cell + space)
    return "  ".join(padded).rstrip()
