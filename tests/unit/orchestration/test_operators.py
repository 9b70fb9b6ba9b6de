"""The operators: what is templated, which role each works as, what they hand on, when they skip or fail."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowSkipException

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.load import LoadReport
from sluice.orchestration import operators
from sluice.orchestration.assets import REPROCESSED
from sluice.orchestration.operators import (
    LoadOperator,
    MonitorOperator,
    ReconcileOperator,
    ReloadOperator,
    TransformOperator,
)
from sluice.settings import ROOT, Settings
from sluice.transform import TransformReport

ROLES: list[str] = []
SETTLED: list[tuple[Any, ...]] = []
"""Alerts: a kind, what was found, and among which subjects."""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def settings_as(role: str) -> Settings:
        ROLES.append(role)
        return Settings(contracts=ROOT / "contracts")

    ROLES.clear()
    SETTLED.clear()
    monkeypatch.setattr(operators, "settings_as", settings_as)
    monkeypatch.setattr(operators, "sync_and_notify", lambda *alerts, **among: SETTLED.append((*alerts, among)))
    yield


def loads(monkeypatch: pytest.MonkeyPatch, report: LoadReport, pending: bool) -> None:
    monkeypatch.setattr("sluice.load.load", lambda settings, contract: report)
    monkeypatch.setattr("sluice.transform.stale.is_pending", lambda settings, role, stream: pending)


def test_fields_that_name_data_are_templated() -> None:
    assert LoadOperator.template_fields == ("stream",)
    assert ReloadOperator.template_fields == ("event_date", "streams", "what")
    assert TransformOperator.template_fields == ("run_name",)


def test_templates_are_rendered() -> None:
    with DAG("rendered", render_template_as_native_obj=True) as dag:
        task = ReloadOperator(task_id="reload", event_date="{{ ds }}", streams="{{ params.streams }}")
    task.render_template_fields({"ds": "2013-01-02", "params": {"streams": ["a.b"]}}, dag.get_template_env())
    assert (task.event_date, task.streams) == ("2013-01-02", ["a.b"])


def test_a_load_works_as_the_loader_and_hands_on_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    report = LoadReport("flights.departed", 7, 2, 1, [date(2013, 1, 2), date(2013, 1, 1)], 0.24)
    loads(monkeypatch, report, pending=True)
    figures = LoadOperator(task_id="load", stream="flights.departed").execute(told())
    assert figures == {
        "summary": "7 rows and 2 in quarantine, of 2 dates",
        "stream": "flights.departed",
        "rows": 7,
        "quarantined": 2,
        "dates": ["2013-01-01", "2013-01-02"],
        "seconds": 0.2,
    }
    assert ROLES == ["loader"]
    assert SETTLED == [("overdue load", {}, {"among": ["flights.departed"]})]


def test_a_load_of_nothing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    loads(monkeypatch, LoadReport("flights.departed"), pending=False)
    context: Any = {"ti": runs_waiting(0)}
    with pytest.raises(AirflowSkipException, match="nothing new"):
        LoadOperator(task_id="load", stream="flights.departed").execute(context)
    assert SETTLED == [("overdue load", {}, {"among": ["flights.departed"]})]


def test_a_load_whose_forerunner_died_after_its_commit_still_wakes_the_transform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads(monkeypatch, LoadReport("flights.departed"), pending=True)
    context: Any = {"ti": runs_waiting(0), **told()}
    assert LoadOperator(task_id="load", stream="flights.departed").execute(context)["rows"] == 0


def test_a_load_of_nothing_leaves_what_a_backfill_has_touched_to_the_backfill(monkeypatch: pytest.MonkeyPatch) -> None:
    loads(monkeypatch, LoadReport("flights.departed"), pending=True)
    context: Any = {"ti": runs_waiting(1)}
    with pytest.raises(AirflowSkipException, match="nothing new"):
        LoadOperator(task_id="load", stream="flights.departed").execute(context)


def test_an_unknown_stream_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TerminalError, match=r"unknown stream 'gates\.changed'.*flights\.departed"):
        LoadOperator(task_id="load", stream="gates.changed").execute({})


def told() -> Any:
    """A context that takes events."""
    return {"outlet_events": {REPROCESSED: Outlet()}}


class Outlet:
    """What Airflow's accessor of an alias notes."""

    def __init__(self) -> None:
        self.added: list[str] = []

    def add(self, asset: Asset) -> None:
        self.added.append(asset.name)


def reloading(
    monkeypatch: pytest.MonkeyPatch, what: str, waiting: int = 0, pending: tuple[str, ...] = ()
) -> tuple[list[tuple[str, date, str]], dict[str, Any], list[str]]:
    """Reloads a date of two streams; returns what was asked of the load, the figures and the assets told of."""
    asked: list[tuple[str, date, str]] = []

    def reload(settings: Settings, contract: Contract, day: date, *, touch: str) -> LoadReport:
        asked.append((contract.stream, day, touch))
        return LoadReport(contract.stream, 3, 1, 1, [day], 0.1, changed=contract.stream == "flights.arrived")

    def touch(settings: Settings, contract: Contract, days: list[date]) -> None:
        asked.extend((contract.stream, day, "touch") for day in days)

    monkeypatch.setattr("sluice.load.reload", reload)
    monkeypatch.setattr("sluice.load.touch", touch)
    monkeypatch.setattr("sluice.transform.stale.is_pending", lambda settings, role, stream: stream in pending)
    outlet = Outlet()
    context = {"ti": runs_waiting(waiting), "outlet_events": {REPROCESSED: outlet}}
    task = ReloadOperator(task_id="reload", event_date="2013-01-02", streams=STREAMS, what=what)
    figures = task.execute(context)  # type: ignore[arg-type]
    return asked, figures, outlet.added


STREAMS = ["flights.arrived", "weather.observed"]


def runs_waiting(count: int) -> SimpleNamespace:
    return SimpleNamespace(
        get_dr_count=lambda dag_id, states: count if (dag_id, states) == ("rebuild", ["queued"]) else 0
    )


@pytest.mark.parametrize(("what", "touch"), [("all", "always"), ("raw", "changed")])
def test_a_reload_takes_its_date_of_every_stream_asked_for(
    monkeypatch: pytest.MonkeyPatch, what: str, touch: str
) -> None:
    asked, figures, _ = reloading(monkeypatch, what)
    assert asked == [(stream, date(2013, 1, 2), touch) for stream in STREAMS]
    assert figures == {"event_date": "2013-01-02", "rows": 6, "quarantined": 2, "changed": ["flights.arrived"]}
    assert ROLES == ["loader"]


def test_marts_alone_are_rebuilt_without_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, figures, _ = reloading(monkeypatch, "marts")
    assert asked == [(stream, date(2013, 1, 2), "touch") for stream in STREAMS]
    assert figures["rows"] == 0


def test_only_a_run_after_which_none_waits_wakes_the_transform_for_what_is_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert reloading(monkeypatch, "all", waiting=1, pending=("weather.observed",))[2] == []
    assert reloading(monkeypatch, "raw", waiting=0, pending=("weather.observed",))[2] == ["raw.weather_observed"]
    assert reloading(monkeypatch, "raw", waiting=0)[2] == []


def test_what_is_unknown_is_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TerminalError, match="WHAT=most"):
        reloading(monkeypatch, "most")


def test_a_reload_of_no_date_is_terminal() -> None:
    with pytest.raises(TerminalError, match="no date"):
        ReloadOperator(task_id="reload", event_date="", streams="flights.arrived").execute({})


@pytest.mark.parametrize(("attempt", "resumes"), [(1, False), (2, True)])
def test_a_retried_transform_goes_on(monkeypatch: pytest.MonkeyPatch, attempt: int, resumes: bool) -> None:
    asked: dict[str, Any] = {}

    def transform(settings: Settings, contracts: dict[str, Contract], **options: Any) -> TransformReport:
        asked.update(options)
        return TransformReport({"flights.departed": [date(2013, 1, 2)]}, options["resume"], 5, 1.0)

    monkeypatch.setattr("sluice.transform.transform", transform)
    monkeypatch.setattr("sluice.transform.document", lambda *_, **__: True)
    task = TransformOperator(task_id="transform", run_name="scheduled__1")
    figures = task.execute({"ti": SimpleNamespace(try_number=attempt)})
    assert (asked["run"], asked["resume"]) == ("scheduled__1", resumes)
    assert figures["touched"] == {"flights.departed": ["2013-01-02"]}
    assert (figures["nodes"], figures["resumed"]) == (5, resumes)
    assert "flights.departed 1" in figures["summary"]
    assert ROLES == ["transformer"]


def test_a_transform_documents_what_it_built_and_fails_for_no_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def transform(*_: object, **__: object) -> TransformReport:
        done.append("built")
        return TransformReport(nodes=5)

    def document(*_: object, **__: object) -> bool:
        done.append("documented")
        raise TerminalError("dbt: no template", "mend it")

    monkeypatch.setattr("sluice.transform.transform", transform)
    monkeypatch.setattr("sluice.transform.document", document)
    figures = TransformOperator(task_id="transform", run_name="x").execute({"ti": SimpleNamespace(try_number=1)})
    assert done == ["built", "documented"]
    assert figures["nodes"] == 5
    assert "dbt: no template" in capsys.readouterr().out


def test_a_stopped_transform_stops_dbt(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr("sluice.transform.dbt.Dbt.stop", lambda self: stopped.append(True))
    monkeypatch.setattr("sluice.transform.transform", lambda *_, **__: TransformReport())
    monkeypatch.setattr("sluice.transform.document", lambda *_, **__: False)
    task = TransformOperator(task_id="transform", run_name="x")
    task.on_kill()
    assert stopped == []
    task.execute({"ti": SimpleNamespace(try_number=1)})
    task.on_kill()
    assert stopped == [True]


@pytest.mark.parametrize("agrees", [True, False])
def test_reconcile_fails_where_the_counts_disagree(monkeypatch: pytest.MonkeyPatch, agrees: bool) -> None:
    found = SimpleNamespace(agrees=agrees, rows=[1, 2], offsets={"a.b": (1, 1, 1)}, text=lambda: "a table\nof lines")
    monkeypatch.setattr("sluice.reconcile.reconcile", lambda settings, contracts: found)
    task = ReconcileOperator(task_id="reconcile")
    if agrees:
        assert task.execute({})["summary"] == "2 dates of 1 streams agree"
    else:
        with pytest.raises(TerminalError, match="disagree"):
            task.execute({})
    assert ROLES == ["reader"]
    wrong = "Kafka, lake and warehouse disagree; `make reconcile` says where"
    assert [("reconcile", {} if agrees else {"platform": wrong}, {})] == SETTLED


def test_a_watch_settles_the_alerts_of_what_it_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled = {"flights.departed": "3 offsets wait"}
    monkeypatch.setattr("sluice.alerts.checks.stalled_sinks", lambda settings, contracts: stalled)
    monkeypatch.setattr("sluice.alerts.checks.high_quarantine_rate", lambda settings: {})
    assert MonitorOperator(task_id="watch").execute({})["summary"] == "stalled sink: flights.departed"
    assert [("stalled sink", stalled, {}), ("quarantine", {}, {})] == SETTLED
    stalled.clear()
    assert MonitorOperator(task_id="watch").execute({})["summary"] == "all is well"


def test_a_date_of_the_interval_is_the_event_date() -> None:
    with DAG("interval") as dag:
        task = ReloadOperator(
            task_id="reload", event_date="{{ data_interval_start.strftime('%Y-%m-%d') }}", streams="a.b"
        )
    task.render_template_fields({"data_interval_start": datetime(2013, 12, 31, tzinfo=UTC)}, dag.get_template_env())
    assert task.event_date == "2013-12-31"
