"""Fields of events that are not in the contract: which rows have them. Of endless names, the rest has one."""

from collections.abc import Iterable, Mapping

import numpy as np

from sluice.load.json_values import RowIndices

MAX_NAMES = 1_000
"""Names per batch, and per stream in ``ops.drift``. An event can have a hundred thousand."""
OTHERS = "(other fields)"


class UnknownFields:
    """Collects the rows that have fields of each name."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def add(self, names: Iterable[str], row: int) -> None:
        """Adds the names of a row's fields."""
        # In order, so that the same names are kept wherever and whenever the same events are read.
        for name in sorted(names):
            rows = self._rows.setdefault(_kept(name, self._rows), [])
            if not rows or rows[-1] != row:
                rows.append(row)

    def indices(self) -> dict[str, RowIndices]:
        """Returns the rows of each name, in ascending order."""
        return {name: np.unique(np.array(rows, np.int64)) for name, rows in self._rows.items()}


def merge(parts: Iterable[tuple[int, Mapping[str, RowIndices]]]) -> dict[str, RowIndices]:
    """Returns the rows of several parts of a batch, each with the index of its first row."""
    merged: dict[str, list[RowIndices]] = {}
    for start, part in parts:
        for name, rows in part.items():
            merged.setdefault(_kept(name, merged), []).append(rows + start)
    return {name: np.unique(np.concatenate(rows)) for name, rows in merged.items()}


def _kept(name: str, known: Mapping[str, object]) -> str:
    return name if name in known or len(known) < MAX_NAMES else OTHERS
