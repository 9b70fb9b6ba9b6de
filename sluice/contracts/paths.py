"""Paths to a value within an event, such as ``geometry.coordinates[0]``: a small part of JSONPath (RFC 9535)."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

Path = tuple[str | int, ...]
"""Names of fields and indexes of array items, from the outside in."""

_STEP = re.compile(
    r"""\.?(?P<name>[^\s.\[\]"'$]+) | \[(?P<index>[0-9]{1,6})\] | \["(?P<quoted>[^"]+)"\] | \['(?P<single>[^']+)'\]""",
    re.VERBOSE,
)
MISSING = object()
"""What ``resolve`` returns for a path that an event does not have."""


def parse_path(text: str) -> Path:
    """Returns the steps of a path.

    Raises:
        ValueError: the text is not a path.
    """
    steps: list[str | int] = []
    position = 1 if text.startswith(("$.", "$[")) else 0
    while position < len(text):
        match = _STEP.match(text, position)
        # A name follows the beginning or a dot; an index or a name in brackets follows anything.
        if match is None or (match["name"] is not None and (match[0][0] == ".") != (position > 0)):
            break
        steps.append(int(match["index"]) if match["index"] else match["name"] or match["quoted"] or match["single"])
        position = match.end()
    if position < len(text) or not steps or isinstance(steps[0], int):
        raise ValueError('expected a path such as properties.mag, geometry.coordinates[0] or ["odd name"].value')
    return tuple(steps)


def format_path(path: Path) -> str:
    """Returns a path as text, from which ``parse_path`` gets it back."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _STEP.fullmatch(step) and not step.startswith((".", "[")):
            text += f".{step}" if text else step
        else:
            quote = "'" if '"' in step else '"'
            text += f"[{quote}{step}{quote}]" if text else f"$[{quote}{step}{quote}]"
    return text


def resolve(event: Any, path: Path) -> Any:
    """Returns the value at a path; ``MISSING`` if the event, or anything on the way, does not have it."""
    value = event
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        value = value[step]
    return value


def first_value(event: Any, paths: Iterable[Path]) -> Any:
    """Returns the first value at any of the paths that is not None; None or ``MISSING`` if there is none."""
    result = MISSING
    for path in paths:
        found = resolve(event, path)
        if found is not MISSING:
            result = found
        if found is not MISSING and found is not None:
            break
    return result


def objects_inside(paths: Iterable[Path]) -> dict[Path, frozenset[str | int]]:
    """Returns the values inside an event that paths lead into, by their own paths, with the steps that follow there.

    What is at the end of a path is taken as a whole, so that another path into it adds nothing.
    """
    ends = set(paths)
    steps: dict[Path, set[str | int]] = {}
    for path in ends:
        if not any(path[:length] in ends for length in range(1, len(path))):
            for length in range(1, len(path)):
                steps.setdefault(path[:length], set()).add(path[length])
    return {path: frozenset(following) for path, following in steps.items()}


def fields_beside(event: Any, objects: Mapping[Path, frozenset[str | int]]) -> set[str]:
    """Returns the fields, as paths, that an event's objects have beside those that ``objects_inside`` names."""
    fields: set[str] = set()
    for path, known in objects.items():
        found = resolve(event, path)
        if isinstance(found, dict) and not found.keys() <= known:
            fields.update(_extended(path, frozenset(found.keys() - known)))
    return fields


@lru_cache(maxsize=16)
def _extended(path: Path, names: frozenset[str]) -> list[str]:
    """Returns the texts of a path with each of the names: most events of a stream have the same ones."""
    return [format_path((*path, name)) for name in names]
