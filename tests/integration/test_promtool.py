"""Prometheus's own checker accepts the rules, the configurations and the panels' queries, and runs the rules' tests."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from infra.grafana.dashboard import ROWS
from infra.install.installs import install_steps
from infra.servers import prometheus
from sluice.settings import Settings

QUERIES = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the checker, installed as `make up OBSERVE=1` installs it unless it is there."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    (settings.home / "logs").mkdir()
    (step,) = (step for step in install_steps(settings, observe=True) if step.name == "install prometheus")
    step.run(threading.Event())
    return prometheus.program("promtool")


def run(program: Path, *arguments: object) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.essential
def test_the_rules_are_valid_and_each_alert_comes_and_goes(promtool: Path) -> None:
    groups = yaml.safe_load(prometheus.RULES.read_text())["groups"]
    count = sum(len(group["rules"]) for group in groups)
    assert f"{count} rules found" in run(promtool, "check", "rules", prometheus.RULES)
    assert "SUCCESS" in run(promtool, "test", "rules", prometheus.RULES.with_name("rules_test.yaml"))


@pytest.mark.parametrize("containers", [False, True])
def test_the_configuration_is_valid(containers: bool, promtool: Path, tmp_path: Path) -> None:
    path = tmp_path / "prometheus" / "prometheus.yml"
    prometheus.prepare(Settings(home=tmp_path))
    if containers:
        text = prometheus.RULES.with_name("containers.yaml").read_text()
        path.write_text(text.replace("/etc/prometheus/rules.yaml", str(prometheus.RULES)))
    assert "SUCCESS" in run(promtool, "check", "config", path)


def test_the_queries_of_the_panels_are_valid(promtool: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m").replace("$stream", ".*")}
        for number, query in enumerate(QUERIES)
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in run(promtool, "check", "rules", path)
