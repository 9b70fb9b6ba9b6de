"""Faults of the warehouse during a load: which of them can pass."""

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
        ("40001", TransientError),  # serialization failure
        ("40P01", TransientError),  # deadlock
        ("53100", TransientError),  # disk full
        ("55P03", TransientError),  # lock time-out
        ("57P01", TransientError),  # ended by an operator
        ("42501", TerminalError),  # permission denied
        ("42P01", TerminalError),  # no such table
        ("22003", TerminalError),  # out of range
    ],
)
def test_a_fault_of_a_transaction_says_whether_it_can_pass(
    monkeypatch: pytest.MonkeyPatch, state: str | None, kind: type[SluiceError]
) -> None:
    contract = next(iter(load_contracts(ROOT / "contracts").values()))

    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(module, "connect", lambda settings, role: Connection())
    with pytest.raises(kind), module.transaction(Settings(), contract):
        raise psycopg.errors.lookup(state)("Postgres says so") if state else psycopg.OperationalError("it is gone")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("connection refused", TransientError),
        ("FATAL:  the database system is starting up", TransientError),
        ("FATAL:  the database system is shutting down", TransientError),
        ("FATAL:  sorry, too many clients already", TransientError),
        ('FATAL:  password authentication failed for user "sluice_loader"', TerminalError),
        ('FATAL:  database "warehouse" does not exist', TerminalError),
    ],
)
def test_a_refused_connection_says_whether_it_can_pass(words: str, kind: type[SluiceError]) -> None:
    error: Any = OSError(words)
    assert type(refusal(Settings(), "loader", error)) is kind
