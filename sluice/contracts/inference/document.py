"""Writes an inferred contract as YAML, with comments for the person who completes it."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from sluice.contracts.inference.roles import InferredColumn
from sluice.contracts.paths import format_path
from sluice.contracts.strict_yaml import scalar
from sluice.escaping import escape

_PARTITIONS = 4
_RETENTION_BYTES = 1 << 30
_MAX_ENUM = 12
"""Distinct texts up to which a column may be an enumeration."""
_ENUM_REPEATS = 5
"""How often each of them occurs at least, on average."""
_WIDTH = 120
_YEARS = {"timestamp": (1900, 2199), "date": (1, 9999)}


def render(
    stream: str, columns: Sequence[InferredColumn], roles: dict[str, str], owner: str, source: str, records: int
) -> str:
    """Returns the contract's YAML.

    Args:
        stream: the stream's name.
        columns: in the order of the table.
        roles: the columns ``event_time``, ``id`` and ``key``; without one that is empty.
        owner: the stream's owner.
        source: where the sample is from, for the comment at the top.
        records: the number of records in the sample.
    """
    lines = [
        f"# Inferred from {records:,} records of {escape(source)}. Lines that say `decide` are guesses.",
        "# Limits that the sample is within are comments: a limit sends what violates it to quarantine.",
        f"stream: {scalar(stream)}",
        f"description: {scalar(f'Events of {stream}.')}  # decide",
        f"owner: {scalar(owner)}  # decide",
        "topic:",
        f"  partitions: {_PARTITIONS}",
        f"  retention_bytes: {_RETENTION_BYTES}",
    ]
    if roles["key"]:
        lines.append(f"key: {scalar(roles['key'])}  # decide: events with one key stay in order")
    else:
        lines.append("# key: a column; decide: events with one key stay in order")
    if roles["id"]:
        choice = "decide: of several events with one id, the first counts (`keep: last`: the last)"
        lines.append(f"id: {scalar(roles['id'])}  # {choice}")
    else:
        lines.append("# id: a column, or a list of columns; decide: without one, no duplicates are removed")
    lines += [
        f"event_time: {scalar(roles['event_time'])}  # decide",
        "lateness: 48h  # decide: how long after the end of a date its events may still arrive",
        "load:",
        '  schedule: "*/2 * * * *"',
        "columns:",
    ]
    for column in columns:
        lines += _column(column)
    return "\n".join(lines) + "\n"


def _column(column: InferredColumn) -> Iterator[str]:
    path, typing = format_path(column.leaf.path), column.typing
    yield f"  - name: {scalar(column.name)}"
    if path != column.name:
        yield f"    from: {scalar(path)}"
    yield f"    type: {typing.type}" + (f"  # {typing.why}" if typing.why else "")
    if typing.format:
        yield f"    format: {typing.format}"
    if typing.zone:
        yield f"    zone: {typing.zone}  # decide"
    if not column.leaf.nullable:
        yield "    nullable: false"
    yield from _years(column)
    yield from _limits(column)
    yield f"    description: {scalar(f'The field {escape(path)}, to be described.')}"


def _years(column: InferredColumn) -> Iterator[str]:
    """Yields the years of times that a contract without any would refuse."""
    if column.typing.type not in _YEARS or column.typing.format:
        return
    first, last = _YEARS[column.typing.type]
    years = [int(value[:4]) for value in column.leaf.values]
    if min(years) < first or max(years) > last:
        yield f"    years: {{first: {max(1, min(first, *years))}, last: {max(last, *years)}}}"


def _limits(column: InferredColumn) -> Iterator[str]:
    values = column.leaf.values
    if not values:
        return
    if column.typing.type in ("int32", "int64", "float64") or column.typing.type.startswith("decimal"):
        number = float if column.typing.type == "float64" else Decimal
        yield f"    # minimum: {min(values, key=number)}"
        yield f"    # maximum: {max(values, key=number)}"
    elif column.typing.type == "string":
        distinct = sorted(set(values))
        # One line of YAML, so that it can be uncommented as it is.
        enum = f"    # enum: {scalar(distinct[: _MAX_ENUM + 1])}"
        if len(distinct) <= _MAX_ENUM and len(values) >= _ENUM_REPEATS * len(distinct) and len(enum) <= _WIDTH:
            yield enum
        else:
            yield f"    # max_length: {max(map(len, values))}"
