"""The names that contracts may not use, because something else has them already."""

from collections.abc import Iterable, Mapping

SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
"""Columns that Postgres gives every table."""
BY_DATE = "_by_date"
BY_LOAD = "_by_load"
BY_LAKE_DATE = "_by_lake_date"
BY_DELETION = "_by_deletion"
"""The raw table's name with one of these suffixes is the name of an index."""
_RESERVED_RELATIONS = ("quarantine", "quarantine_pkey", f"quarantine{BY_DATE}", f"quarantine{BY_LOAD}")
"""Tables and indexes of the schema ``raw`` that no contract defines."""


def table_name(stream: str) -> str:
    """Returns the name of a stream's raw table."""
    return stream.replace(".", "_")


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
    table = table_name(stream)
    if table in _RESERVED_RELATIONS:
        raise ValueError(f"expected another name: raw.{table} is a relation of the quarantine")
    return stream


def shared_topics(topics: Mapping[str, str]) -> dict[str, str]:
    """Returns, by stream, the stream that precedes it and has the same topic.

    To Kafka, names that differ only in dots and underscores are the same: its metrics have them with underscores.

    Args:
        topics: the topic by stream.
    """
    owners: dict[str, str] = {}
    for stream in sorted(topics):
        owners.setdefault(table_name(topics[stream]), stream)
    firsts = {stream: owners[table_name(topic)] for stream, topic in topics.items()}
    return {stream: first for stream, first in firsts.items() if first != stream}


def collisions(streams: Iterable[str]) -> dict[str, str]:
    """Returns, by stream, the stream that precedes it and has a table or an index of the same name."""
    owners: dict[str, str] = {}
    found: dict[str, str] = {}
    for stream in sorted(streams):
        table = table_name(stream)
        names = (table, *(f"{table}{suffix}" for suffix in (BY_DATE, BY_LOAD, BY_LAKE_DATE, BY_DELETION)))
        owner = next((owners[name] for name in names if name in owners), None)
        if owner is None:
            owners |= dict.fromkeys(names, stream)
        else:
            found[stream] = owner
    return found
