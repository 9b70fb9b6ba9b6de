"""The names that contracts may not use, because something else has them already."""

from collections.abc import Iterable

SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
"""Columns that Postgres gives every table."""
INDEX_SUFFIX = "_by_date"
"""The raw table's name with this suffix is the name of its index."""
_RESERVED_RELATIONS = ("quarantine", "quarantine_pkey", f"quarantine{INDEX_SUFFIX}")
"""Tables and indexes of the schema ``raw`` that no contract defines."""


def check_column(name: str) -> str:
    """Returns the name of a column.

    Raises:
        ValueError: Postgres has a system column of that name in every table.
    """
    if name in SYSTEM_COLUMNS:
        raise ValueError(f"expected another name: every Postgres table has a system column {name}")
    return name


def check_stream(stream: str) -> str:
    """Returns the name of a stream.

    Raises:
        ValueError: its raw table would have the name of another table or index.
    """
    table = stream.replace(".", "_")
    if table in _RESERVED_RELATIONS:
        raise ValueError(f"expected another name: raw.{table} is a relation of the quarantine")
    return stream


def collisions(streams: Iterable[str]) -> dict[str, str]:
    """Returns, by stream, the stream that precedes it and has a table or an index of the same name."""
    owners: dict[str, str] = {}
    found: dict[str, str] = {}
    for stream in sorted(streams):
        table = stream.replace(".", "_")
        names = (table, f"{table}{INDEX_SUFFIX}")
        owner = next((owners[name] for name in names if name in owners), None)
        if owner is None:
            owners |= dict.fromkeys(names, stream)
        else:
            found[stream] = owner
    return found
