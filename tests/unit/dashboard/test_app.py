"""What the dashboard shows while servers are down: a page that names them, never a traceback."""

import asyncio
import hashlib
import re
import socket
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from dashboard.app import create_app
from dashboard.pages import PAGES
from dashboard.poller import Snapshot
from infra.config.ports import free_ports
from sluice.contracts import load_contracts
from sluice.settings import ROOT, Settings

TEMPLATES = ROOT / "dashboard" / "templates"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    port = free_ports(1)[0]
    closed_ports = dict.fromkeys(("kafka_port", "postgres_port", "minio_port", "airflow_port", "sink_port"), port)
    values = {"home": tmp_path, "contracts": ROOT / "contracts", "reader_password": "x", **closed_ports}
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8090")


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
    client = TestClient(create_app(settings), base_url="http://127.0.0.1:8090")
    for page in ("/", "/dbt", *(f"/{name}" for name in PAGES)):
        assert "contracts/a.b.yaml: line 1: &lt;owner&gt;: Field required" in client.get(page).text


def test_scripts_and_styles_come_only_from_the_dashboard(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/overview").headers["Content-Security-Policy"]
    assert "<script>" not in client.get("/overview").text
    assert 'style="' not in client.get("/overview").text


def test_an_unknown_page_is_not_found_and_leads_back(client: TestClient) -> None:
    response = client.get("/other")
    assert response.status_code == 404
    assert "Page not found" in response.text
    assert '<a href="/overview">' in response.text
    assert response.headers["Content-Security-Policy"]
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


@pytest.mark.parametrize("page", ["/overview", "/dbt"])
def test_every_page_links_to_the_models(client: TestClient, page: str) -> None:
    assert '<a href="/dbt"' in client.get(page).text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8090", "localhost:8090", "localhost", "[::1]:8090", "0.0.0.0:8090", "our.example"]
)
def test_a_browser_on_this_machine_is_answered(settings: Settings, host: str) -> None:
    published = settings.model_copy(update={"dashboard_host": "0.0.0.0", "dashboard_url": "https://our.example/x"})  # noqa: S104
    client = TestClient(create_app(published), base_url="http://127.0.0.1")
    assert client.get("/quarantine", headers={"Host": host}).status_code == 200
    assert client.get("/health", headers={"Host": host}).text == "ok\n"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "0"]
)
@pytest.mark.parametrize("path", ["/quarantine", "/dbt", "/health", "/static/style.css", "/other"])
def test_a_page_that_rebinds_its_name_reads_nothing(client: TestClient, path: str, host: str) -> None:
    response = client.get(path, headers={"Host": host})
    assert (response.status_code, response.text) == (400, "Invalid host header")


def test_while_postgres_hangs_pages_say_so_and_health_is_answered_at_once(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as mute:
        hanging = settings.model_copy(update={"postgres_port": mute.getsockname()[1]})

        async def request_all() -> list[str]:
            transport = httpx.ASGITransport(create_app(hanging))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
                pages = [asyncio.create_task(client.get("/flights")) for _ in range(60)]
                while not any(page.done() for page in pages):
                    # More pages than threads: the health check must not wait for one.
                    assert (await client.get("/health")).text == "ok\n"
                    await asyncio.sleep(0.05)
                return [(await page).text for page in pages]

        texts = asyncio.run(request_all())
    assert all("Retrying automatically." in text for text in texts)
    assert any("connections to Postgres are busy" in text for text in texts)
    assert any("timeout expired" in text for text in texts)


def test_a_platform_without_flights_offers_no_page_about_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    earthquakes = load_contracts(ROOT / "contracts")["weather.observed"]
    monkeypatch.setattr("dashboard.poller.Poller.__init__", lambda self, settings: None)
    for contracts, offered in (({"quakes.recorded": earthquakes}, False), (load_contracts(ROOT / "contracts"), True)):
        monkeypatch.setattr("dashboard.poller.Poller.snapshot", Snapshot(contracts=contracts), raising=False)
        page = TestClient(create_app(settings), base_url="http://127.0.0.1:8090").get("/pipeline").text
        assert ('<a href="/flights"' in page) is offered
        assert '<a href="/runs"' in page


@pytest.mark.parametrize(
    ("page", "updates"), [("/overview", True), ("/runs", True), ("/flights", False), ("/dbt", False)]
)
def test_only_a_page_that_updates_can_be_paused(client: TestClient, page: str, updates: bool) -> None:
    assert ('id="pause"' in client.get(page).text) is updates


@pytest.mark.parametrize(
    ("file", "digest"),
    [
        ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    ],
)
def test_the_charting_library_is_the_published_one(file: str, digest: str) -> None:
    content = (ROOT / "dashboard" / "static" / "vendor" / file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest


def test_what_can_be_opened_has_a_key_that_does_not_change_with_its_counts() -> None:
    tags = [tag for path in TEMPLATES.glob("*.html") for tag in re.findall(r"<details [^>]*>", path.read_text())]
    assert len(tags) == 2
    for tag in tags:
        key = re.search(r'data-key="([^"]+)"', tag)
        assert key is not None, tag
        assert "loop.index" not in key[1]


def test_without_javascript_a_chart_promises_no_table() -> None:
    chart = (TEMPLATES / "parts.html").read_text()
    assert re.findall(r"<noscript>(.*?)</noscript>", chart) == ["The chart needs JavaScript."]
