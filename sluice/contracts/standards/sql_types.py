"""Types as databases write them, such as ``NUMERIC(18,4)``: other tools' contracts have them beside a logical type."""

import re

from sluice.contracts.types import parse_type

_TYPE = re.compile(r"([a-z][a-z ]*?)\s*(?:\(\s*(\d{1,4})\s*(?:,\s*(\d{1,4})\s*)?\))?")
_NAMES = {
    **dict.fromkeys(("text", "char", "character", "varchar", "character varying", "nvarchar"), "string"),
    # An `integer` has 32 bits in Postgres and 38 digits in Snowflake: the wider one loses nothing.
    **dict.fromkeys(("smallint", "int", "integer", "bigint", "long"), "int64"),
    **dict.fromkeys(("real", "float", "double", "double precision"), "float64"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(
        ("timestamp", "timestamptz", "timestamp with time zone", "timestamp without time zone"), "timestamp"
    ),
    **{name: name for name in ("date", "time", "uuid", "json")},
    "jsonb": "json",
}
_DECIMALS = ("numeric", "decimal", "number")


def from_sql(text: str) -> str | None:
    """Returns the column type that a database's type means; None for another text, and for decimals without digits."""
    match = _TYPE.fullmatch(text.strip().lower())
    if match is None:
        return None
    name, precision, scale = match.groups()
    if name not in _DECIMALS:
        return _NAMES.get(name)
    try:
        return str(parse_type(f"decimal({precision}, {scale or 0})"))
    except ValueError:
        return None
