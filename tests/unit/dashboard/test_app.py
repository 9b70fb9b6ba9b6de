"""What the dashboard shows while servers are down: a page that names them, never a traceback."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard.app import create_app
from dashboard.pages import PAGES
from dashboard.poller import Snapshot
from infra.config.ports import free_ports
from sluice.settings import ROOT, Settings


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    port = free_ports(1)[0]
    closed_ports = dict.fromkeys(("kafka_port", "postgres_port", "minio_port", "airflow_port", "sink_port"), port)
    values = {"home": tmp_path, "contracts": ROOT / "contracts", "reader_password": "x", **closed_ports}
    settings = Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]
    return TestClient(create_app(settings))


@pytest.mark.parametrize("page", ["/", *(f"/{name}" for name in PAGES)])
def test_a_page_without_postgres_names_the_server_that_is_down(client: TestClient, page: str) -> None:
    response = client.get(page)
    assert response.status_code == 200
    assert "sluice_reader" in response.text
    assert "Traceback" not in response.text
    assert "Retrying automatically." in response.text
    assert "Postgres<span> down</span>" in response.text


def test_an_invalid_contract_is_named_on_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = "contracts/a.b.yaml: line 1: <owner>: Field required"
    monkeypatch.setattr("dashboard.poller.Poller.snapshot", Snapshot((problem,)), raising=False)
    monkeypatch.setattr("dashboard.poller.Poller.__init__", lambda self, settings: None)
    settings = Settings(_env_file=None, home=tmp_path, postgres_port=free_ports(1)[0], reader_password="x")  # type: ignore[call-arg, arg-type]
    client = TestClient(create_app(settings))
    for page in ("/", "/dbt", *(f"/{name}" for name in PAGES)):
        assert "contracts/a.b.yaml: line 1: &lt;owner&gt;: Field required" in client.get(page).text


def test_scripts_and_styles_come_only_from_the_dashboard(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/now").headers["Content-Security-Policy"]
    assert "<script>" not in client.get("/now").text
    assert 'style="' not in client.get("/now").text


def test_an_unknown_page_is_not_found(client: TestClient) -> None:
    assert client.get("/other").status_code == 404
    assert client.get("/static/../app.py").status_code == 404


def test_model_documentation_is_served_once_a_transform_has_generated_it(client: TestClient, tmp_path: Path) -> None:
    before = client.get("/dbt")
    assert before.status_code == 200
    assert "does not exist yet" in before.text
    assert "default-src 'self'" in before.headers["Content-Security-Policy"]
    page = tmp_path / "dbt" / "docs.html"
    page.parent.mkdir()
    page.write_text("<script>dbt's own</script>")
    response = client.get("/dbt")
    assert response.text == "<script>dbt's own</script>"
    assert response.headers["Content-Type"].startswith("text/html")
    assert client.post("/dbt").status_code == 405


def test_model_documentation_runs_its_own_scripts_without_network_access(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "docs.html").touch()
    policy = client.get("/dbt").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'unsafe-inline';" in policy
    assert "connect-src" not in policy
    # No other page of the dashboard may run inline scripts.
    assert "unsafe" not in client.get("/pipeline").headers["Content-Security-Policy"]


@pytest.mark.parametrize("page", ["/now", "/dbt"])
def test_every_page_links_to_the_models(client: TestClient, page: str) -> None:
    assert '<a href="/dbt"' in client.get(page).text
