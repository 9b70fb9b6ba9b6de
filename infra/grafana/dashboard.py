"""The dashboard for Grafana: `python -m infra.grafana.dashboard >infra/grafana/dashboard.json` writes it.

Grafana imports the file (Dashboards, New, Import) and asks which Prometheus it reads.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39
"""Of Grafana 11. Later versions migrate it when they import it."""
DATASOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


@dataclass(frozen=True)
class Panel:
    """A graph over time."""

    title: str
    description: str
    unit: str
    """A name of Grafana's, such as ``s`` or ``bytes``."""
    queries: tuple[tuple[str, str], ...]
    """PromQL and the legend of its series."""


ROWS: dict[str, tuple[Panel, ...]] = {
    "Health": (
        Panel("Open alerts", "By kind. Zero is good.", "short", (("sum by (kind) (sluice_alerts)", "{{kind}}"),)),
        Panel(
            "Servers", "1 while a server answers.", "short", (("sluice_up", "{{server}}"), ("up", "end point {{job}}"))
        ),
        Panel(
            "Failed DAGs",
            "1 while the last run of a DAG has failed.",
            "short",
            (("sluice_dag_failed", "{{dag}}"),),
        ),
        Panel(
            "Disk",
            "Free space of the disk of SLUICE_HOME.",
            "bytes",
            (("sluice_disk_free_bytes", "free"), ("sluice_disk_size_bytes", "size")),
        ),
    ),
    "Streaming": (
        Panel(
            "Records to the lake",
            "Records a second that the sink commits.",
            "ops",
            (('stream:sluice_sink_events:rate5m{stream=~"$stream"}', "{{stream}}"),),
        ),
        Panel(
            "Lag of the lake",
            "Offsets in Kafka that are not in the lake yet.",
            "short",
            (('stream:sluice_lake_lag:offsets{stream=~"$stream"}', "{{stream}}"),),
        ),
        Panel(
            "Commits of the sink",
            "Duration of a commit: half of them, and 95 of 100, are faster.",
            "s",
            tuple(
                (
                    f"histogram_quantile({share}, sum by (le)"
                    " (rate(sluice_sink_flush_seconds_bucket[$__rate_interval])))",
                    legend,
                )
                for share, legend in ((0.5, "median"), (0.95, "95th percentile"))
            ),
        ),
        Panel(
            "Live view",
            "Records a second that the live view applies and skips, and the age of its heartbeat.",
            "short",
            (
                ("sum(rate(sluice_live_events_total[$__rate_interval]))", "applied a second"),
                ("sum(rate(sluice_live_skipped_total[$__rate_interval]))", "skipped a second"),
                ("sluice_live_heartbeat_age_seconds", "seconds since the heartbeat"),
            ),
        ),
    ),
    "Batch": (
        Panel(
            "Loaded records",
            "Records a second, over an hour.",
            "ops",
            (('stream:sluice_load_records:rate1h{stream=~"$stream"}', "{{stream}}"),),
        ),
        Panel(
            "Quarantine",
            "Share of the records of the last hour that are invalid. The alert is at 5 %.",
            "percentunit",
            (('stream:sluice_quarantine:ratio1h{stream=~"$stream"}', "{{stream}}"),),
        ),
        Panel(
            "Freshness",
            "Time since new records were loaded, and how long the marts have not shown them.",
            "s",
            (
                ('time() - sluice_load_timestamp_seconds{stream=~"$stream"}', "{{stream}}: last load"),
                ('sluice_stale_age_seconds{stream=~"$stream"}', "{{stream}}: stale"),
            ),
        ),
        Panel("Duration of runs", "Of the last run of each DAG.", "s", (("sluice_dag_run_seconds", "{{dag}}"),)),
    ),
}
"""The one definition: rows of panels."""


def dashboard() -> dict[str, Any]:
    """Returns the dashboard as Grafana's JSON."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": _WIDTH * _COLUMNS, "h": 1},
            }
        )
        top += 1
        for number, panel in enumerate(row):
            place = {"x": number % _COLUMNS * _WIDTH, "y": top + number // _COLUMNS * _HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, place | {"w": _WIDTH, "h": _HEIGHT}))
        top += -(-len(row) // _COLUMNS) * _HEIGHT
    return {
        "__inputs": [{"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}],
        "uid": "sluice",
        "title": "Sluice",
        "tags": ["sluice"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {
                    "name": "stream",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "query": {"query": "label_values(sluice_load_offsets_total, stream)", "refId": "stream"},
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                }
            ]
        },
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=2) + "\n")
