"""Values of the warehouse for display: every value that Postgres holds, also those that Python has no type for.

psycopg raises an error for a date before year 1 or after 9999, an infinite one, and an hour of 24.
"""

from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Buffer, Loader
from psycopg.types.datetime import DateLoader, TimestamptzLoader
from psycopg.types.string import TextLoader


def load_all_as_text(context: AdaptContext) -> None:
    """Makes a connection or cursor return every value as the text that Postgres writes, and null as None."""
    for info in psycopg.adapters.types:
        for oid in filter(None, (info.oid, info.array_oid)):
            context.adapters.register_loader(oid, TextLoader)


def load_odd_times_as_text(context: AdaptContext) -> None:
    """Makes a connection or cursor return dates and times beyond Python's as the text that Postgres writes."""
    context.adapters.register_loader("date", _or_text(DateLoader))
    context.adapters.register_loader("timestamptz", _or_text(TimestamptzLoader))


def _or_text(loader: type[Loader]) -> type[Loader]:
    class LoaderOrText(loader):  # type: ignore[misc, valid-type]
        def load(self, data: Buffer) -> Any:
            with suppress(psycopg.DataError, OverflowError, ValueError):
                return super().load(data)
            return bytes(data).decode()

    return LoaderOrText
