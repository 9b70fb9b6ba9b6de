"""`make up OBSERVE=1`: a real Prometheus scrapes every end point and evaluates the rules; `make up` stops it."""

import httpx

from infra.grafana.dashboard import ROWS
from infra.processes import processes
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait


def test_prometheus_scrapes_every_end_point_until_a_launch_without_it(platform: Running) -> None:
    state = {service.name: service for service in platform.services().status()}["prometheus"]
    assert (state.state, state.detail) == ("off", "`make up OBSERVE=1` starts it")
    assert not _processes(platform)
    platform.sluice("up", "--no-live", "--observe")
    with httpx.Client(base_url=f"http://127.0.0.1:{platform.settings.prometheus_port}", trust_env=False) as client:

        def query(expression: str) -> list[dict[str, object]]:
            result: list[dict[str, object]] = client.get("/api/v1/query", params={"query": expression}).json()["data"][
                "result"
            ]
            return result

        wait("all end points", lambda: len(query("up == 1")) == 3)
        assert {str(sample["metric"]["job"]) for sample in query("up == 1")} == {"sink", "live", "dashboard"}  # type: ignore[index]
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        assert {group["name"] for group in groups} == {"sluice-rates", "sluice-alerts"}
        wait("evaluated rules", lambda: query("stream:sluice_lake_lag:offsets"))
        assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
        for panel in ROWS["Health"]:
            for expression, _ in panel.queries:
                if expression != "sum by (kind) (sluice_alerts)":
                    assert query(expression), expression
    platform.sluice("up", "--no-live")
    assert not _processes(platform)


def _processes(platform: Running) -> list[str]:
    return [name for _, name in processes.owned(platform.settings.home) if name == "prometheus"]
