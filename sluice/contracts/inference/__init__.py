"""Infers a contract from a sample of events: columns, types, and what is left for a person to decide."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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
from sluice.contracts.inference.types import infer_type
from sluice.contracts.model import RECORD
from sluice.contracts.paths import format_path

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


def infer(stream: str, records: Sequence[dict[str, Any]], owner: str, source: str) -> Inference:
    """Returns the contract that all records of a sample are valid by.

    Args:
        stream: the stream's name.
        records: events as ``parse_json`` returns them, at least one.
        owner: the stream's owner.
        source: where the sample is from, such as a file's name.

    Raises:
        ValueError: the records have no field.
    """
    found = list(leaves(records))
    named = [leaf for leaf in found if is_expressible(leaf.path)]
    if not named:
        raise ValueError("the records have no fields")
    columns = _columns(named, avoided=(RECORD,))
    if any(column.name == EVENT_ID and not can_identify(column) for column in columns):
        columns = _columns(named, avoided=(RECORD, EVENT_ID))
    event_time, identity = guess_event_time(columns), guess_id(columns)
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


def _columns(found: Sequence[Leaf], avoided: Collection[str]) -> tuple[InferredColumn, ...]:
    names = column_names([leaf.path for leaf in found], avoided)
    return tuple(InferredColumn(names[leaf.path], leaf, infer_type(leaf.path, leaf.values)) for leaf in found)
