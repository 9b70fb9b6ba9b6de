"""Postgres errors during a load: which of them are transient."""

from typing import Any

import psycopg
import pytest

from sluice.contracts import load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.load import transaction as module
from sluice.settings import ROOT, Settings
from sluice.warehouse.connect import refusal


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (None, TransientError),
        ("08006", TransientError),  # connection lost
        ("25006", TransientError),  # read-only: the server is a standby
        ("40001", TransientError),  # serialization failure
        ("40P01", TransientError),  # deadlock
        ("53100", TransientError),  # disk full
        ("55P03", TransientError),  # lock timeout
        ("57P01", TransientError),  # terminated by an operator
        ("42501", TerminalError),  # permission denied
        ("42P01", TerminalError),  # no such table
        ("22003", TerminalError),  # out of range
    ],
)
def test_an_error_in_a_transaction_is_transient_or_terminal(
    monkeypatch: pytest.MonkeyPatch, state: str | None, kind: type[SluiceError]
) -> None:
    contract = next(iter(load_contracts(ROOT / "contracts").values()))

    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(module, "connect", lambda settings, role: Connection())
    monkeypatch.setattr(module, "require_raw_table", lambda connection, contract: None)
    with pytest.raises(kind), module.transaction(Settings(), contract):
        raise psycopg.errors.lookup(state)("error") if state else psycopg.OperationalError("connection lost")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("connection refused", TransientError),
        ("FATAL:  the database system is starting up", TransientError),
        ("FATAL:  the database system is shutting down", TransientError),
        ("FATAL:  sorry, too many clients already", TransientError),
        ('FATAL:  password authentication failed for user "sluice_loader"', TerminalError),
        ('FATAL:  database "warehouse" does not exist', TerminalError),
    ],
)
def test_a_refused_connection_is_transient_or_terminal(message: str, kind: type[SluiceError]) -> None:
    error: Any = OSError(message)
    assert type(refusal(Settings(), "loader", error)) is kind
