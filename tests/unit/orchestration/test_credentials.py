"""Tasks read the warehouse password from the Airflow connection of their own role, and no other password."""

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


def test_a_task_of_two_roles_gets_both_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_ENV_FILE", "/nonexistent/.env")
    for role in ("reader", "loader"):
        monkeypatch.setenv(f"AIRFLOW_CONN_WAREHOUSE_{role.upper()}", f"postgresql://sluice_{role}:{role}@127.0.0.9/w")
    settings = settings_as("reader", "loader")
    assert [settings.secret(f"{role}_password") for role in ("reader", "loader")] == ["reader", "loader"]


def test_an_error_names_the_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    with pytest.raises(TerminalError, match="warehouse_reader"):
        settings_as("reader")
