"""Prometheus's rules and Grafana's dashboard: every metric in them exists, and every alert has a test."""

import json
import re
from typing import Any

import yaml

from infra.grafana.dashboard import ROWS, dashboard
from infra.servers import prometheus
from sluice.settings import ROOT
from tests.fixtures.metrics_page import PAGE, described

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(prometheus.RULES.read_text())["groups"] for rule in group["rules"]
]
QUERIES = [query for row in ROWS.values() for panel in row for query, _ in panel.queries]
SERVICES = ("Sink", "Live view", "Dashboard")


def test_every_alert_has_a_test_in_which_it_is_raised_and_one_in_which_it_is_not() -> None:
    tests = yaml.safe_load(prometheus.RULES.with_name("rules_test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    for rule in RULES:
        if "alert" in rule:
            expected = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
            assert set(expected) == {True, False}, rule["alert"]


def test_every_metric_in_a_rule_or_a_panel_is_served_or_recorded() -> None:
    names = {family.name for service in SERVICES for family in described(service)}
    assert len(names) > 30
    names |= {f"{family.name}_bucket" for service in SERVICES for family in described(service)}
    names |= {rule["record"] for rule in RULES if "record" in rule}
    for query in [*QUERIES, *(rule["expr"] for rule in RULES)]:
        used = set(re.findall(r"[\w:]*sluice_[\w:]+", query))
        assert used <= names, query


def test_the_file_of_the_dashboard_is_what_its_definition_gives() -> None:
    assert json.loads((ROOT / "infra" / "grafana" / "dashboard.json").read_text()) == dashboard()


def test_panels_have_distinct_numbers_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_the_reference_lists_every_rule() -> None:
    listed = set(re.findall(r"^\| `([\w:]+)` \|", PAGE.read_text().partition("\n## Rules\n")[2], re.MULTILINE))
    assert listed == {rule.get("alert") or rule["record"] for rule in RULES}
