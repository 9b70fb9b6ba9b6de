"""Tasks take the warehouse's password from Airflow's connection of their role, and only that one."""

import pytest

from sluice.errors import TerminalError
from sluice.orchestration.credentials import settings_as


def test_address_and_password_come_from_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_LOADER", "postgresql://sluice_loader:p%40ss@127.0.0.9:6543/elsewhere")
    monkeypatch.setenv("SLUICE_ENV_FILE", "/nonexistent/.env")
    settings = settings_as("loader")
    assert (settings.postgres_host, settings.postgres_port, settings.warehouse) == ("127.0.0.9", 6543, "elsewhere")
    assert settings.secret("loader_password") == "p@ss"
    assert settings.transformer_password is None


def test_a_missing_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    with pytest.raises(TerminalError, match="warehouse_reader"):
        settings_as("reader")
