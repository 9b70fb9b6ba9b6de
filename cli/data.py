"""The commands that look at the data: reconcile, sql, peek.

Arrow, Delta and the servers' clients are imported where they are used: every other command starts without them.
"""

import base64
import csv
import json
import logging
import sys
from datetime import date
from typing import Annotated, Any, cast

import typer

from sluice.contracts import get_contract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import load_settings

_ROLES = ("reader", "loader", "transformer", "postgres")
_PEEK_COLUMNS = ["topic_id", "partition", "offset", "timestamp", "event_date", "key", "value"]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(reconcile)
    app.command()(sql)
    app.command()(peek)


def reconcile(
    patience: Annotated[float, typer.Option(help="Seconds to wait for events in flight.")] = 300.0,
) -> None:
    """Proves that Kafka, lake and warehouse agree, per stream and date."""
    from sluice.reconcile import reconcile as compare

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("sluice").setLevel(logging.INFO)
    settings = load_settings()
    found = compare(settings, load_contracts(settings.contracts), patience)
    print(found.text())
    if not found.agrees:
        raise typer.Exit(1)


def sql(
    query: Annotated[str, typer.Argument(help="One SQL statement.")],
    role: Annotated[str, typer.Option("--as", help=f"Role: {', '.join(_ROLES)}.")] = "reader",
) -> None:
    """Asks the warehouse, and prints CSV with a header."""
    import psycopg

    from sluice.warehouse.connect import Role, connect

    if role not in _ROLES:
        raise TerminalError(f"unknown role {role!r}", f"choose one of {', '.join(_ROLES)}")
    if not query.strip():
        raise TerminalError("no query", 'say one, as in make sql Q="select * from marts.dim_carrier"')
    writer = csv.writer(sys.stdout, lineterminator="\n")
    try:
        with connect(load_settings(), cast(Role, role)) as connection, connection.cursor() as cursor:
            cursor.execute(query.encode())
            if cursor.description is None:
                print(cursor.statusmessage)
                return
            writer.writerow(column.name for column in cursor.description)
            writer.writerows(cursor)
    except psycopg.Error as error:
        raise TerminalError(f"the query failed as {role}: {error}") from error


def peek(
    stream: Annotated[str, typer.Argument(help="The stream, as flights.departed.")],
    day: Annotated[str, typer.Option("--date", help="Only this event date, as 2013-01-31.")] = "",
    count: Annotated[int, typer.Option("-n", min=1, help="How many rows, the newest last.")] = 5,
) -> None:
    """Shows rows of the lake as JSON, one per line."""
    import pyarrow.compute as pc

    from sluice.lake.reader import LakeReader

    settings = load_settings()
    get_contract(load_contracts(settings.contracts), stream)
    reader = LakeReader(settings, stream)
    chosen = event_date(day) if day else None
    rows = reader.rows(pc.scalar(True), ["offset"], chosen)
    if not rows.num_rows:
        raise TerminalError(f"the lake has no rows of {stream}{f' on {day}' if day else ''}", "see `make replay`")
    # The last offsets of every partition hold the newest rows; the rest need not be read whole.
    floor = pc.max(rows["offset"]).as_py() - count
    newest = reader.rows(pc.field("offset") > floor, _PEEK_COLUMNS, chosen)
    for row in newest.sort_by([("timestamp", "ascending"), ("offset", "ascending")]).to_pylist()[-count:]:
        print(json.dumps({name: _readable(value) for name, value in row.items()}, ensure_ascii=False))


def event_date(text: str) -> date:
    """A date that a person wrote.

    Raises:
        TerminalError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{text!r} is no date", "write it as 2013-01-31") from None


def as_text(value: Any) -> Any:
    """What JSON can hold of a column's value: bytes as text, and as base64 where they are none; times in ISO's form."""
    if not isinstance(value, bytes):
        return value if value is None or isinstance(value, int | str) else value.isoformat()
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _readable(value: Any) -> Any:
    """As ``as_text``, and JSON as itself."""
    text = as_text(value)
    if not isinstance(value, bytes) or not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
