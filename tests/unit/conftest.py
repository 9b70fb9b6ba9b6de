"""An Airflow that the commands ask, in place of the platform's."""

from typing import Any

import pytest

from sluice.orchestration import batch
from sluice.orchestration.rest import Json


class Server:
    """One whose runs all end well; it notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def close(self) -> None:
        self.asked.append("close")

    def dag(self, dag_id: str) -> Json:
        return {"is_paused": False}

    def refuse_paused(self, dag_id: str) -> None:
        pass

    def trigger(self, dag_id: str, run_id: str) -> None:
        self.asked.append(dag_id)

    def run(self, dag_id: str, run_id: str) -> Json:
        return {"state": "success"}

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(batch, "Airflow", lambda settings: made)
    return made
