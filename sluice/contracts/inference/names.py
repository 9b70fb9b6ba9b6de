"""Names columns after their paths: in snake case, unique, and usable in SQL without quotes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from sluice.contracts.names import SYSTEM_COLUMNS
from sluice.contracts.paths import Path

_MAX = 63
_RESERVED = re.compile(
    "all|analyse|analyze|and|any|array|as|asc|asymmetric|authorization|binary|both|case|cast|check|collate|"
    "collation|column|concurrently|constraint|create|cross|current_catalog|current_date|current_role|"
    "current_schema|current_time|current_timestamp|current_user|default|deferrable|desc|distinct|do|else|end|"
    "except|false|fetch|for|foreign|freeze|from|full|grant|group|having|ilike|in|initially|inner|intersect|into|"
    "is|isnull|join|lateral|leading|left|like|limit|localtime|localtimestamp|natural|not|notnull|null|offset|on|"
    "only|or|order|outer|overlaps|placing|primary|references|returning|right|select|session_user|similar|some|"
    "symmetric|system_user|table|tablesample|then|to|trailing|true|union|unique|user|using|variadic|verbose|when|"
    "where|window|with"
)
"""Words that Postgres accepts as the name of a column only in quotes."""
_COORDINATES = {0: "longitude", 1: "latitude"}
"""The order of a position in GeoJSON (RFC 7946)."""


def column_names(paths: Sequence[Path], avoided: Collection[str] = ()) -> dict[Path, str]:
    """Returns a name for each path: its last step, with as many steps before it as make it unique.

    Args:
        paths: of the columns.
        avoided: names that no column gets.
    """
    depth = dict.fromkeys(paths, 1)
    while True:
        names = {path: _name(path, depth[path], avoided) for path in paths}
        counts = Counter(names.values())
        shared = [path for path in paths if counts[names[path]] > 1 and depth[path] < len(path)]
        if not shared:
            break
        depth.update({path: depth[path] + 1 for path in shared})
    taken: dict[str, Path] = {}
    for path, name in names.items():
        taken[_unused(name, taken)] = path
    return {path: name for name, path in taken.items()}


def snake_case(text: str) -> str:
    """Returns a text as words in lower case, joined by underscores; empty if it has no ASCII letter or digit."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", text)
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _name(path: Path, depth: int, avoided: Collection[str]) -> str:
    if depth == 1 and path[-2:-1] == ("coordinates",) and path[-1] in _COORDINATES:
        return _COORDINATES[int(path[-1])]
    # An index means nothing without the name of its array.
    start = len(path) - depth - (1 if isinstance(path[-1], int) else 0)
    name = "_".join(filter(None, (snake_case(str(step)) for step in path[max(0, start) :])))
    if not name[:1].isalpha():
        name = f"field_{name}".rstrip("_")
    if _RESERVED.fullmatch(name) or name in (*SYSTEM_COLUMNS, *avoided):
        name = f"{name}_value"
    return name[:_MAX].rstrip("_")


def _unused(name: str, taken: Collection[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        suffix = f"_{number}"
        candidate = name[: _MAX - len(suffix)] + suffix
    return candidate
