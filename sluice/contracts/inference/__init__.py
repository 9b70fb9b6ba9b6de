"""Infers a contract from a sample of events: columns, types, and what is left for a person to decide."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sluice.contracts.inference.document import render
from sluice.contracts.inference.leaves import Leaf, is_expressible, leaves
from sluice.contracts.inference.names import column_names
from sluice.contracts.inference.records import parse_json
from sluice.contracts.inference.roles import (
    EVENT_ID,
    Guess,
    InferredColumn,
    can_identify,
    guess_event_time,
    guess_id,
    guess_key,
)
from sluice.contracts.inference.types import Typing, declared_type, infer_type
from sluice.contracts.model import RECORD
from sluice.contracts.paths import Path, format_path
from sluice.contracts.types import parse_type

__all__ = ["Guess", "Inference", "InferredColumn", "infer", "parse_json"]


@dataclass(frozen=True)
class Inference:
    """What a sample says about its stream."""

    contract: str
    """The contract, as YAML."""
    columns: tuple[InferredColumn, ...]
    event_time: Guess
    id: Guess
    key: Guess
    omitted: tuple[str, ...]
    """Fields that no contract can name, such as one with an empty name."""


def infer(
    stream: str,
    records: Sequence[dict[str, Any]],
    owner: str,
    source: str,
    types: Mapping[Path, str] = MappingProxyType({}),
) -> Inference:
    """Returns the contract that all records of a sample are valid by.

    Args:
        stream: the stream's name.
        records: events as ``parse_json`` returns them, at least one.
        owner: the stream's owner.
        source: where the sample is from, such as a file's name.
        types: the decimals that the sample's file declares, by path.

    Raises:
        ValueError: the records have no field.
    """
    found = list(leaves(records))
    named = [leaf for leaf in found if is_expressible(leaf.path)]
    if not named:
        raise ValueError("the records have no fields")
    columns = _columns(named, (RECORD,), types)
    if any(column.name == EVENT_ID and not can_identify(column) for column in columns):
        columns = _columns(named, (RECORD, EVENT_ID), types)
    event_time, columns = guess_event_time(columns)
    identity = guess_id(columns)
    key = guess_key(columns, identity)
    roles = {"event_time": event_time.name, "id": identity.name, "key": key.name}
    return Inference(
        render(stream, columns, roles, owner, source, len(records)),
        columns,
        event_time,
        identity,
        key,
        tuple(format_path(leaf.path) for leaf in found if leaf not in named),
    )


def _columns(found: Sequence[Leaf], avoided: Collection[str], types: Mapping[Path, str]) -> tuple[InferredColumn, ...]:
    names = column_names([leaf.path for leaf in found], avoided)
    return tuple(InferredColumn(names[leaf.path], leaf, _typing(leaf, types)) for leaf in found)


def _typing(leaf: Leaf, types: Mapping[Path, str]) -> Typing:
    declared = types.get(leaf.path)
    if isinstance(leaf.path[-1], int) and (array := types.get(leaf.path[:-1])):
        declared = str(parse_type(array).item)
    return declared_type(declared, leaf.values) if declared else infer_type(leaf.path, leaf.values)
