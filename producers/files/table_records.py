"""Events from columns: each row is one JSON object."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from sluice.contracts.paths import Path
from sluice.errors import TerminalError

Encode = Callable[[Any], str]
"""Returns a value that is not null as JSON."""


class TableRecords:
    """The rows of a table as JSON objects."""

    def __init__(
        self, table: pa.Table, encoders: Mapping[str, Encode], types: Mapping[Path, str] | None = None
    ) -> None:
        """Takes a table; by column, how its values are written; and the types that the file declares."""
        self.types: Mapping[Path, str] = types or {}
        self._table = table
        self._encoders = [encoders[name] for name in table.column_names]
        self._names = [json.dumps(name, ensure_ascii=False) for name in table.column_names]

    def __len__(self) -> int:
        rows: int = self._table.num_rows
        return rows

    def texts(self, indices: Sequence[int]) -> list[bytes]:
        """Returns rows as JSON objects, with their fields in the order of the columns.

        Raises:
            TerminalError: a column has a value for which Python has none, such as a date in the year 100,000.
        """
        rows = self._table.take(pa.array(indices, pa.int64()))
        columns = [
            [f"{name}:{'null' if value is None else encode(value)}" for value in _values(name, column)]
            for name, encode, column in zip(self._names, self._encoders, rows.columns, strict=True)
        ]
        return [f"{{{','.join(fields)}}}".encode() for fields in zip(*columns, strict=True)]


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, LookupError, ValueError) as error:
        raise TerminalError(
            f"the file's column {name} cannot be read: {error}", "change or remove the column"
        ) from None
    return values
