"""What is shown when servers are away: a page that says so, and never a traceback."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard.app import create_app
from dashboard.pages import PAGES
from infra.config.ports import free_ports
from sluice.settings import ROOT, Settings


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    port = free_ports(1)[0]
    away = dict.fromkeys(("kafka_port", "postgres_port", "minio_port", "airflow_port", "sink_port"), port)
    given = {"home": tmp_path, "contracts": ROOT / "contracts", "reader_password": "x", **away}
    settings = Settings(_env_file=None, **given)  # type: ignore[call-arg, arg-type]
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


def test_the_models_are_documented_when_a_transform_has_done_so(client: TestClient, tmp_path: Path) -> None:
    before = client.get("/dbt")
    assert before.status_code == 200
    assert "has not been made yet" in before.text
    assert "default-src 'self'" in before.headers["Content-Security-Policy"]
    page = tmp_path / "dbt" / "docs.html"
    page.parent.mkdir()
    page.write_text("<script>dbt's own</script>")
    answer = client.get("/dbt")
    assert answer.text == "<script>dbt's own</script>"
    assert answer.headers["Content-Type"].startswith("text/html")
    assert client.post("/dbt").status_code == 405


def test_dbt_s_page_runs_its_own_scripts_and_reaches_nobody(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "docs.html").touch()
    policy = client.get("/dbt").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'unsafe-inline';" in policy
    assert "connect-src" not in policy
    # And nothing else of the dashboard may.
    assert "unsafe" not in client.get("/pipeline").headers["Content-Security-Policy"]


@pytest.mark.parametrize("page", ["/now", "/dbt"])
def test_every_page_leads_to_the_models(client: TestClient, page: str) -> None:
    assert '<a href="/dbt"' in client.get(page).text
