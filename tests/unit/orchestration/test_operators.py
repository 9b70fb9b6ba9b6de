"""The operators: template fields, the role each one uses, returned figures, and when they skip or fail."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowSkipException

from sluice.alerts.freshness import Freshness
from sluice.alerts.runs import REFUSED
from sluice.contracts import Contract
from sluice.errors import TerminalError, TransientError
from sluice.lake.ranges import Range
from sluice.load import LoadReport
from sluice.orchestration import operators
from sluice.orchestration.assets import REPROCESSED
from sluice.orchestration.operators import (
    FreshnessOperator,
    LoadOperator,
    MonitorOperator,
    ReconcileOperator,
    ReloadOperator,
)
from sluice.settings import ROOT, Settings

ROLES: list[str] = []
SYNCED: dict[str, Any] = {}
"""The problems of each kind of alert that was synced."""
CLEARED: list[str] = []
"""Streams whose alerts were cleared because their contract was removed."""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def settings_as(*roles: str) -> Settings:
        ROLES.extend(roles)
        return Settings(contracts=ROOT / "contracts")

    ROLES.clear()
    SYNCED.clear()
    CLEARED.clear()
    monkeypatch.setattr(operators, "settings_as", settings_as)
    alerts = SimpleNamespace(sync=SYNCED.__setitem__, clear_removed=CLEARED.extend, deliver=lambda: None)
    monkeypatch.setattr(operators, "Alerts", lambda context: alerts)
    monkeypatch.setattr("sluice.removed.remains.removed_streams", lambda settings, contracts: {})
    yield


def fake_load(monkeypatch: pytest.MonkeyPatch, report: LoadReport, pending: bool) -> None:
    monkeypatch.setattr("sluice.load.load", lambda settings, contract: report)
    monkeypatch.setattr("sluice.transform.stale.is_stale", lambda settings, role, stream: pending)


def test_fields_that_select_data_are_templated() -> None:
    assert LoadOperator.template_fields == ("stream",)
    assert ReloadOperator.template_fields == ("event_date", "streams", "what")
    assert FreshnessOperator.template_fields == ("stream",)


def test_templates_are_rendered() -> None:
    with DAG("rendered", render_template_as_native_obj=True) as dag:
        task = ReloadOperator(task_id="reload", event_date="{{ ds }}", streams="{{ params.streams }}")
    task.render_template_fields({"ds": "2013-01-02", "params": {"streams": ["a.b"]}}, dag.get_template_env())
    assert (task.event_date, task.streams) == ("2013-01-02", ["a.b"])


def test_a_load_uses_the_loader_role_and_returns_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    report = LoadReport("flights.departed", 7, 2, 1, [date(2013, 1, 2), date(2013, 1, 1)], 0.24)
    report.ranges = [Range("topic", 0, 5, 14)]
    fake_load(monkeypatch, report, pending=True)
    context = outlet_context()
    figures = LoadOperator(task_id="load", stream="flights.departed").execute(context)
    recorded = {
        "stream": "flights.departed",
        "rows": 7,
        "quarantined": 2,
        "dates": ["2013-01-01", "2013-01-02"],
        "offsets": {"topic/0": [5, 14]},
        "seconds": 0.2,
    }
    assert figures == {"summary": "7 rows, 2 quarantined, 2 dates", **recorded}
    assert context["outlet_events"]["raw.flights_departed"].extra == recorded
    assert context["outlet_events"][REPROCESSED.name].added == [("raw.flights_departed", recorded)]
    assert ROLES == ["loader"]


def test_a_load_with_nothing_new_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_load(monkeypatch, LoadReport("flights.departed"), pending=False)
    context: Any = {"ti": queued_runs(0)}
    with pytest.raises(AirflowSkipException, match="nothing new"):
        LoadOperator(task_id="load", stream="flights.departed").execute(context)


def test_a_load_after_one_that_died_after_its_commit_still_triggers_the_transform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_load(monkeypatch, LoadReport("flights.departed"), pending=True)
    context: Any = {"ti": queued_runs(0), **outlet_context()}
    assert LoadOperator(task_id="load", stream="flights.departed").execute(context)["rows"] == 0


def test_a_load_with_nothing_new_leaves_stale_dates_to_an_active_backfill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_load(monkeypatch, LoadReport("flights.departed"), pending=True)
    context: Any = {"ti": queued_runs(1)}
    with pytest.raises(AirflowSkipException, match="nothing new"):
        LoadOperator(task_id="load", stream="flights.departed").execute(context)


def test_an_error_names_the_unknown_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TerminalError, match=r"unknown stream 'gates\.changed'.*flights\.departed"):
        LoadOperator(task_id="load", stream="gates.changed").execute({})


def outlet_context() -> Any:
    """Returns a context that accepts asset events, and has the store of the assets' states."""
    return {"outlet_events": Outlets(), "asset_state_store": Stores()}


class Outlet:
    """Records the metadata of an asset's event, and the events that a task adds to an alias."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.added: list[tuple[str, dict[str, Any]]] = []

    def add(self, asset: Asset, extra: dict[str, Any]) -> None:
        self.added.append((asset.name, extra))


class Outlets(dict[str, Outlet]):
    """The outlets by the names of their assets."""

    def __getitem__(self, asset: Any) -> Outlet:
        return self.setdefault(getattr(asset, "name", asset), Outlet())


class Stores(dict[str, dict[str, Any]]):
    """The states by the names of their assets."""

    def __getitem__(self, asset: Any) -> Any:
        values = self.setdefault(asset.name, {})
        return SimpleNamespace(get=values.get, set=values.__setitem__)


def test_the_freshness_check_compares_with_the_last_one_and_records_the_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "load_settings", lambda: Settings(contracts=ROOT / "contracts"))
    context = outlet_context()

    def check(minute: int, kafka: int, lake: int) -> dict[str, Any]:
        now = Freshness(datetime(2026, 1, 1, 0, minute, tzinfo=UTC), {("t", 0): kafka}, {("t", 0): lake})
        monkeypatch.setattr("sluice.alerts.freshness.read_freshness", lambda settings, contract: now)
        return FreshnessOperator(task_id="freshness", stream="flights.departed").execute(context)

    figures = check(0, kafka=20, lake=5)
    assert figures["summary"] == "15 records behind Kafka"
    assert context["outlet_events"]["lake.flights.departed"].extra == {
        "stream": "flights.departed",
        "lag": 15,
        "at": "2026-01-01T00:00:00+00:00",
        "kafka": {"t/0": 20},
        "lake": {"t/0": 5},
    }
    # Each check fails until the table advances.
    for minute in (2, 4):
        with pytest.raises(TerminalError, match=r"lake\.flights\.departed is stale: 15 records in 1 partitions"):
            check(minute, kafka=30, lake=5)
    assert check(6, kafka=30, lake=6)["lag"] == 24
    assert ROLES == []


def run_reload(
    monkeypatch: pytest.MonkeyPatch, what: str, queued: int = 0, pending: tuple[str, ...] = ()
) -> tuple[list[tuple[str, date, str]], dict[str, Any], list[str]]:
    """Reloads a date of two streams; returns the calls, the figures and the assets with an event."""
    calls: list[tuple[str, date, str]] = []

    def reload(settings: Settings, contract: Contract, day: date, *, mark_stale: str) -> LoadReport:
        calls.append((contract.stream, day, mark_stale))
        return LoadReport(contract.stream, 3, 1, 1, [day], 0.1, changed=contract.stream == "flights.arrived")

    def mark_stale(settings: Settings, contract: Contract, days: list[date]) -> None:
        calls.extend((contract.stream, day, "mark_stale") for day in days)

    monkeypatch.setattr("sluice.load.reload", reload)
    monkeypatch.setattr("sluice.load.mark_stale", mark_stale)
    monkeypatch.setattr("sluice.transform.stale.is_stale", lambda settings, role, stream: stream in pending)
    context = {"ti": queued_runs(queued), **outlet_context()}
    task = ReloadOperator(task_id="reload", event_date="2013-01-02", streams=STREAMS, what=what)
    figures = task.execute(context)  # type: ignore[arg-type]
    outlet = context["outlet_events"][REPROCESSED]
    assert all(extra == figures for _, extra in outlet.added)
    return calls, figures, [name for name, _ in outlet.added]


STREAMS = ["flights.arrived", "weather.observed"]


def queued_runs(count: int) -> SimpleNamespace:
    return SimpleNamespace(
        get_dr_count=lambda dag_id, states: count if (dag_id, states) == ("reprocess", ["queued"]) else 0
    )


@pytest.mark.parametrize(("what", "mark_stale"), [("all", "always"), ("raw", "changed")])
def test_a_reload_covers_its_date_of_every_selected_stream(
    monkeypatch: pytest.MonkeyPatch, what: str, mark_stale: str
) -> None:
    calls, figures, _ = run_reload(monkeypatch, what)
    assert calls == [(stream, date(2013, 1, 2), mark_stale) for stream in STREAMS]
    assert figures == {"event_date": "2013-01-02", "rows": 6, "quarantined": 2, "changed": ["flights.arrived"]}
    assert ROLES == ["loader"]


def test_the_scope_marts_reloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, figures, _ = run_reload(monkeypatch, "marts")
    assert calls == [(stream, date(2013, 1, 2), "mark_stale") for stream in STREAMS]
    assert figures["rows"] == 0


def test_only_a_run_with_no_run_queued_behind_it_triggers_the_transform_for_stale_dates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_reload(monkeypatch, "all", queued=1, pending=("weather.observed",))[2] == []
    assert run_reload(monkeypatch, "raw", queued=0, pending=("weather.observed",))[2] == ["raw.weather_observed"]
    assert run_reload(monkeypatch, "raw", queued=0)[2] == []


@pytest.mark.parametrize(
    ("event_date", "what", "line"),
    [
        ("", "all", r"there is no date to reload.*make backfill"),
        ("May", "all", "is not a date"),
        ("2013-01-02", "everything", "WHAT=everything is unknown"),
    ],
)
def test_a_reload_with_wrong_parameters_fails_at_once_and_leaves_word_that_it_has_refused_them(
    event_date: str, what: str, line: str
) -> None:
    left: dict[str, str] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=left.__setitem__)}
    with pytest.raises(TerminalError, match=line):
        ReloadOperator(task_id="reload", event_date=event_date, streams="flights.arrived", what=what).execute(context)
    assert left.keys() == {REFUSED}
    assert re.search(line, left[REFUSED])
    assert len(left[REFUSED].splitlines()) == 1


def test_a_reload_that_fails_for_another_reason_leaves_no_such_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TerminalError("permission denied", "grant it")

    left: dict[str, str] = {}
    monkeypatch.setattr("sluice.load.reload", fail)
    context: Any = {"ti": SimpleNamespace(xcom_push=left.__setitem__)}
    with pytest.raises(TerminalError, match="permission denied"):
        ReloadOperator(task_id="reload", event_date="2013-01-02", streams=STREAMS[0]).execute(context)
    assert left == {}


@pytest.mark.parametrize("agrees", [True, False])
def test_reconcile_fails_if_the_counts_disagree(monkeypatch: pytest.MonkeyPatch, agrees: bool) -> None:
    reconciliation = SimpleNamespace(
        agrees=agrees, rows=[1, 2], totals={"a.b": (1, 1, 1)}, text=lambda: "a table\nof lines"
    )
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("sluice.reconcile.reconcile", lambda *_, **options: asked.append(options) or reconciliation)
    task = ReconcileOperator(task_id="reconcile", full="{{ params.full }}")
    task.render_template_fields({"params": {"full": agrees}})
    if agrees:
        assert task.execute({})["summary"] == "2 dates of 1 streams agree"
    else:
        with pytest.raises(TerminalError, match="disagree"):
            task.execute({})
    assert asked == [{"full": agrees, "patience": 300.0}]
    assert ROLES == ["reader", "loader"]
    message = "Kafka, lake and warehouse disagree; `make reconcile` shows where"
    assert {"reconcile": {} if agrees else {"platform": message}} == SYNCED


CHECKS = {
    "import error": "sluice.alerts.runs.import_errors",
    "failed run": "sluice.alerts.runs.failed_runs",
    "overdue load": "sluice.alerts.runs.overdue_loads",
    "quarantine": "sluice.alerts.checks.high_quarantine_rate",
    "disk": "sluice.alerts.disk.low_disk",
    "clock": "sluice.alerts.clocks.clock_skew",
    "stalled sink": "sluice.alerts.checks.stalled_sinks",
}
"""The functions behind the checks of `monitor`, by kind of alert."""


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each check finds, by kind; an error is raised instead."""
    found: dict[str, Any] = {kind: {} for kind in CHECKS}

    def check(kind: str) -> Any:
        if isinstance(found[kind], Exception):
            raise found[kind]
        return found[kind]

    for kind, function in CHECKS.items():
        monkeypatch.setattr(function, lambda *_, kind=kind: check(kind))
    monkeypatch.setattr("sluice.alerts.store.runs_of_open_alerts", lambda settings, kind: set())
    return found


def monitor() -> str:
    return str(MonitorOperator(task_id="monitor").execute({})["summary"])


def test_monitor_syncs_the_alerts_of_its_checks(problems: dict[str, Any]) -> None:
    problems["stalled sink"] = {"flights.departed": "3 offsets wait"}
    assert monitor() == "stalled sink: flights.departed"
    assert {**problems, "invalid contract": {}, "failed check": {}} == SYNCED
    problems["stalled sink"] = {}
    assert monitor() == "no alerts"


def test_monitor_clears_the_alerts_of_a_removed_contract_and_raises_none(
    monkeypatch: pytest.MonkeyPatch, problems: dict[str, Any]
) -> None:
    monkeypatch.setattr("sluice.removed.remains.removed_streams", lambda settings, contracts: {"a.b": "a.b"})
    problems["quarantine"] = {"a.b": "a problem", "weather.observed": "another"}
    problems["clock"] = problems["quarantine"] | {"Postgres": "slow"}
    monitor()
    assert CLEARED == ["a.b"]
    assert SYNCED["quarantine"] == {"weather.observed": "another"}
    assert SYNCED["clock"] == {"weather.observed": "another", "Postgres": "slow"}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("error", [TransientError("a server is down", "wait"), ZeroDivisionError("division by zero")])
def test_a_check_that_fails_is_an_alert_and_costs_no_other(
    kind: str, error: Exception, problems: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.b.yaml").write_text("stream: a.b\n")
    monkeypatch.setattr(operators, "settings_as", lambda role: Settings(contracts=tmp_path))
    problems[kind] = error
    assert f"failed check: {kind}" in monitor()
    own = SYNCED.pop("failed check")[kind]
    assert own in ("a server is down. Hint: wait.", "ZeroDivisionError: division by zero")
    # What it has found before is neither cleared nor raised again.
    assert SYNCED.keys() == {*CHECKS, "invalid contract"} - {kind}
    assert "line 1: description: Field required" in SYNCED["invalid contract"]["a.b.yaml"]


def test_the_event_date_is_the_start_of_the_data_interval() -> None:
    with DAG("interval") as dag:
        task = ReloadOperator(
            task_id="reload", event_date="{{ data_interval_start.strftime('%Y-%m-%d') }}", streams="a.b"
        )
    task.render_template_fields({"data_interval_start": datetime(2013, 12, 31, tzinfo=UTC)}, dag.get_template_env())
    assert task.event_date == "2013-12-31"


def test_without_any_contract_everything_else_is_still_checked(
    problems: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(operators, "settings_as", lambda role: Settings(contracts=tmp_path / "missing"))
    monkeypatch.setattr("sluice.removed.remains.removed_streams", lambda settings, contracts: {"a.b": "a.b"})
    problems["disk"] = {"/": "full"}
    assert monitor() == "disk: /; failed check: invalid contract"
    assert "no contracts found" in SYNCED["failed check"]["invalid contract"]
    # Nothing says that the streams were removed, or that their loads and sinks are well.
    assert CLEARED == []
    assert SYNCED.keys() == {"import error", "failed run", "quarantine", "disk", "clock", "failed check"}
