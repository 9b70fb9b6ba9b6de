"""A fake Airflow for the commands."""

from datetime import datetime
from typing import Any

import pytest

from sluice.orchestration import batch
from sluice.orchestration.rest import Json


class FakeAirflow:
    """Every run succeeds; records the requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.newest: dict[str, datetime] = {}
        """When the newest run of a DAG was queued."""

    def close(self) -> None:
        self.requests.append("close")

    def dag(self, dag_id: str) -> Json:
        return {"is_paused": False}

    def ensure_not_paused(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, run_id: str, conf: Json | None = None) -> None:
        self.requests.append((dag_id, conf) if conf else dag_id)

    def run(self, dag_id: str, run_id: str) -> Json:
        return {"state": "success"}

    def run_since(self, dag_id: str, moment: datetime) -> str | None:
        return "newest" if dag_id in self.newest and self.newest[dag_id] >= moment else None

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return []


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    fake = FakeAirflow()
    monkeypatch.setattr(batch, "Airflow", lambda settings: fake)
    return fake
