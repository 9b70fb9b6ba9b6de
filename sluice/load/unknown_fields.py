"""Fields of events that are not in the contract: which rows have them. Of endless names, the rest has one."""

from collections.abc import Iterable, Mapping

import numpy as np

from sluice.load.json_values import RowIndices

MAX_NAMES = 1_000
"""Names per batch, and per stream in ``ops.drift``. An event can have a hundred thousand."""
OTHERS = "(other fields)"
_MAX_SETS = 16
"""Sets of names that are kept to find their rows quickly."""


class UnknownFields:
    """Collects the rows that have fields of each name."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        """Of each name; those of a set of names that is kept are there instead."""
        self._sets: dict[frozenset[str], tuple[list[str], list[int]]] = {}
        """The kept names and the rows of a set of names: most events of a stream have the same one."""

    def add(self, names: Iterable[str], row: int) -> None:
        """Adds the names of a row's fields. No later row has a smaller index."""
        if not (found := frozenset(names)):
            return
        kept, rows = self._sets.get(found, ([], []))
        if not kept:
            # In order, so that the same names are kept wherever and whenever the same events are read.
            for name in sorted(found):
                kept.append(_kept(name, self._rows))
                self._rows.setdefault(kept[-1], [])
            if len(self._sets) < _MAX_SETS:
                self._sets[found] = kept, rows
        for of_name in [rows] if found in self._sets else map(self._rows.__getitem__, kept):
            if not of_name or of_name[-1] != row:
                of_name.append(row)

    def indices(self) -> dict[str, RowIndices]:
        """Returns the rows of each name, in ascending order."""
        parts = {name: [np.array(rows, np.int64)] if rows else [] for name, rows in self._rows.items()}
        for kept, rows in self._sets.values():
            of_set = np.array(rows, np.int64)
            for name in {*kept}:
                parts[name].append(of_set)
        return {name: arrays[0] if len(arrays) == 1 else _union(arrays) for name, arrays in parts.items()}


def merge(parts: Iterable[tuple[int, Mapping[str, RowIndices]]]) -> dict[str, RowIndices]:
    """Returns the rows of several parts of a batch, each with the index of its first row."""
    merged: dict[str, list[RowIndices]] = {}
    for start, part in parts:
        for name, rows in part.items():
            merged.setdefault(_kept(name, merged), []).append(rows + start)
    return {name: _union(rows) for name, rows in merged.items()}


def _kept(name: str, known: Mapping[str, object]) -> str:
    return name if name in known or len(known) < MAX_NAMES else OTHERS


def _union(parts: list[RowIndices]) -> RowIndices:
    return np.unique(np.concatenate(parts))
