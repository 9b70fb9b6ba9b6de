"""Paths to a value within an event, such as ``geometry.coordinates[0]``: a small part of JSONPath (RFC 9535)."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

Path = tuple[str | int, ...]
"""Names of fields and indexes of array items, from the outside in."""
Tree = dict[str | int, "Tree"]
"""Paths by their first steps; nothing follows where a path ends."""

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
        text = _extended(text, step)
    return text


def _extended(text: str, step: str | int) -> str:
    """Returns a path's text with one more step; without a text, the step is the first."""
    if isinstance(step, int):
        return f"{text}[{step}]"
    if step.isidentifier() or (_STEP.fullmatch(step) and not step.startswith((".", "["))):
        return f"{text}.{step}" if text else step
    quote = "'" if '"' in step else '"'
    return f"{text or '$'}[{quote}{step}{quote}]"


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


@lru_cache(maxsize=16)
def _extended_by_each(text: str, names: frozenset[str]) -> list[str]:
    """Returns a path's text with each of the names: most events of a stream have the same ones."""
    return [_extended(text, name) for name in names]


def path_tree(paths: Iterable[Path]) -> Tree:
    """Returns the steps of paths. A path that leads below the end of another one adds nothing."""
    ends = set(paths)
    tree: Tree = {}
    for path in ends:
        if not any(path[:length] in ends for length in range(1, len(path))):
            inner = tree
            for step in path:
                inner = inner.setdefault(step, {})
    return tree


def fields_beside(value: Any, tree: Tree, place: str = "") -> Iterator[str]:
    """Yields where, below an object's own fields, a value has fields that no path of a tree leads to.

    Only objects that a path leads into are searched: what is beside a path, or below its end, is one field.

    Args:
        value: an object, or whatever the event has in its place.
        tree: the paths below it.
        place: of the value, as a path; "" for the event.
    """
    for step, inner in tree.items():
        found = resolve(value, (step,)) if inner else None
        if not isinstance(found, dict | list):
            continue
        found_at = _extended(place, step)
        if isinstance(found, dict):
            yield from _extended_by_each(found_at, frozenset(found.keys() - inner.keys()))
        yield from fields_beside(found, inner, found_at)
