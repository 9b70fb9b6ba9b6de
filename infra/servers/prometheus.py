"""Prometheus, with `make up OBSERVE=1`: scrapes the end points of the sink, the live view and the dashboard."""

import json
from pathlib import Path

from infra.servers import probes
from infra.servers.service import TOOLS, Service
from infra.servers.toolchains import find_prometheus
from sluice.errors import SluiceError
from sluice.settings import LOOPBACK, ROOT, Settings

FOLDER = TOOLS / "prometheus"
"""Where the launch unpacks Debian's package, unless the machine has Prometheus."""
RULES = ROOT / "infra" / "prometheus" / "rules.yaml"
HINT = "install the package prometheus, or put Prometheus's programs `prometheus` and `promtool` on the PATH"
RETENTION = "7d"


def configuration(settings: Settings) -> dict[str, object]:
    """Returns Prometheus's configuration: what it scrapes, how often, and its rules."""
    targets = {
        "sink": (settings.sink_host, settings.sink_port),
        "live": (settings.live_host, settings.live_port),
        "dashboard": (settings.dashboard_host, settings.dashboard_port),
    }
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"{host}:{port}"]}]}
            for name, (host, port) in targets.items()
        ],
    }


def prepare(settings: Settings) -> None:
    """Writes the configuration file. JSON is YAML too."""
    folder = settings.home / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(json.dumps(configuration(settings), indent=2))


def command(settings: Settings) -> list[str]:
    """Returns the server's command line.

    Raises:
        SluiceError: Prometheus is not installed.
    """
    folder = settings.home / "prometheus"
    return [
        str(program()),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={LOOPBACK}:{settings.prometheus_port}",
    ]


def program(name: str = "prometheus") -> Path:
    """Returns the path of Prometheus's server, or of another of its programs.

    Raises:
        SluiceError: it is not installed.
    """
    found = find_prometheus(FOLDER, name)
    if found is None:
        raise SluiceError("Prometheus is missing", HINT)
    return found


PROMETHEUS = Service(
    name="prometheus",
    needs=("install prometheus", "sink", "live", "dashboard"),
    ports=("prometheus_port",),
    option=" OBSERVE=1",
    prepare=prepare,
    command=command,
    check_health=lambda settings: probes.http_ok(LOOPBACK, settings.prometheus_port, "/-/ready"),
)
