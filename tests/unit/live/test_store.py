"""A record that a live view cannot apply costs itself; a fault of the server costs no record."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from sluice.contracts import Contract
from sluice.errors import TransientError
from sluice.live import store as module
from sluice.live.store import Store
from sluice.live.view import Cursor, Record
from sluice.settings import Settings

Log = list[int]


class Connection:
    """A fake of a connection: what was written, with transactions that undo it."""

    def __init__(self) -> None:
        self.written: Log = []
        self.saved: Any = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = list(self.written)
        try:
            yield
        except BaseException:
            self.written = before
            raise

    @contextmanager
    def cursor(self) -> Iterator["Connection"]:
        yield self

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> "Connection":
        if values:
            self.saved = values[-1]
        return self

    def fetchone(self) -> tuple[str, int]:
        """Answers the question for the consumer group."""
        return "warehouse", 1

    def commit(self) -> None:
        pass


class View:
    """Writes offsets, until one raises the error."""

    streams = ("a",)

    def __init__(self, connection: Connection, bad: set[int], error: Exception) -> None:
        self._connection = connection
        self._bad, self._error = bad, error

    def apply(self, cursor: Cursor, contracts: Mapping[str, Contract], records: Sequence[Record]) -> None:
        for record in records:
            self._connection.written.append(record.offset)
            if record.offset in self._bad:
                raise self._error


def apply(monkeypatch: pytest.MonkeyPatch, bad: set[int], error: Exception) -> Connection:
    connection = Connection()
    monkeypatch.setattr(module, "connect", lambda settings, role: connection)
    records = [Record("a", "id", 0, offset, None, b"") for offset in range(9)]
    Store(Settings()).apply(View(connection, bad, error), {}, records, {("id", 0): 9})
    return connection


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.CheckViolation("violates a check constraint"),
        psycopg.errors.ProgramLimitExceeded("index row size exceeds btree maximum"),
        psycopg.errors.NumericValueOutOfRange("integer out of range"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        KeyError("departure_delay_minutes"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_record_that_cannot_be_applied_is_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    connection = apply(monkeypatch, {3, 8}, error)
    assert connection.written == [0, 1, 2, 4, 5, 6, 7]
    assert connection.saved == [9]
    assert [record.message.split(": ")[:2] for record in caplog.records] == [
        [f"skipped a/0/{offset}", type(error).__name__] for offset in (3, 8)
    ]


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.ReadOnlySqlTransaction("standby"),
        psycopg.errors.DiskFull("full"),
        psycopg.OperationalError("lost"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_record_is_skipped_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(TransientError):
        apply(monkeypatch, {3}, error)
