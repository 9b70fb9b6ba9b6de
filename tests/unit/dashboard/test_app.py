"""What is shown when servers are away: a page that says so, and never a traceback."""

import pytest
from starlette.testclient import TestClient

from dashboard.app import create_app
from dashboard.pages import PAGES
from sluice.runtime.ports import free_ports
from sluice.settings import ROOT, Settings


@pytest.fixture
def client() -> TestClient:
    port = free_ports(1)[0]
    away = dict.fromkeys(("kafka_port", "postgres_port", "minio_port", "airflow_port", "sink_port"), port)
    settings = Settings(_env_file=None, contracts=ROOT / "contracts", reader_password="x", **away)  # type: ignore[call-arg, arg-type]
    return TestClient(create_app(settings))


@pytest.mark.parametrize("page", ["/", *(f"/{name}" for name in PAGES)])
def test_a_page_without_postgres_says_so(client: TestClient, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 200
    assert "sluice_reader" in answer.text
    assert "Traceback" not in answer.text
    assert "comes back by itself" in answer.text
    assert "is away" in answer.text


def test_nothing_from_elsewhere_is_run(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/now").headers["Content-Security-Policy"]
    assert "<script>" not in client.get("/now").text
    assert 'style="' not in client.get("/now").text


def test_an_unknown_page_is_not_there(client: TestClient) -> None:
    assert client.get("/other").status_code == 404
    assert client.get("/static/../app.py").status_code == 404
