"""Finds the columns of a sample: nested objects are flattened, everything else is a column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.contracts.inference.records import Fraction, Integer
from sluice.contracts.model import is_storable
from sluice.contracts.paths import Path, format_path, parse_path

_POSITIONS = ("coordinates", "coords", "position")
"""Names of arrays whose items are columns of their own: each item means something else."""
_MAX_POSITION = 4
_MAP_KEYS = 20
"""An object with more names than this, none of them in half of the records, is a map: its names are data."""


@dataclass(frozen=True)
class Leaf:
    """A value that becomes a column."""

    path: Path
    values: Sequence[Any]
    """The values that are not null, in the order of the records; numbers are ``Integer`` and ``Fraction``."""
    nullable: bool
    """Whether any record lacks the value, or has null."""


def leaves(records: Sequence[dict[str, Any]]) -> Iterator[Leaf]:
    """Yields the columns of a sample, in the order in which records name them.

    Args:
        records: events as ``parse_json`` returns them.
    """
    for path, values in _walk((), records):
        yield Leaf(path, values, nullable=len(values) < len(records))


def is_expressible(path: Path) -> bool:
    """Returns whether a contract can name a path: a field with an empty name or a NUL in it, for example, has none."""
    text = format_path(path)
    try:
        return is_storable(text) and parse_path(text) == path
    except ValueError:
        return False


def _walk(path: Path, values: Sequence[Any]) -> Iterator[tuple[Path, Sequence[Any]]]:
    present = [value for value in values if value is not None]
    if _is_structure(path, present):
        for name in dict.fromkeys(name for value in present for name in value):
            yield from _walk((*path, name), [value[name] for value in present if name in value])
    elif _is_position(path, present):
        for index in range(len(present[0])):
            yield (*path, index), [value[index] for value in present]
    else:
        yield path, present


def _is_structure(path: Path, values: Sequence[Any]) -> bool:
    if not values or not all(isinstance(value, dict) for value in values):
        return False
    counts: dict[str, int] = {}
    for value in values:
        for name in value:
            counts[name] = counts.get(name, 0) + 1
    if not path:
        return True
    is_map = len(counts) > _MAP_KEYS and 2 * max(counts.values()) < len(values)
    return bool(counts) and not is_map and all(is_expressible((*path, name)) for name in counts)


def _is_position(path: Path, values: Sequence[Any]) -> bool:
    return (
        bool(values)
        and path[-1] in _POSITIONS
        and all(isinstance(value, list) and len(value) == len(values[0]) for value in values)
        and 2 <= len(values[0]) <= _MAX_POSITION
        and all(isinstance(item, Integer | Fraction) for value in values for item in value)
    )
