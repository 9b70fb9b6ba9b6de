"""The steps of the DAG transform: what each calls, returns and skips, and how each fails."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, chain
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from sluice.errors import TerminalError, TransientError
from sluice.orchestration import transforms
from sluice.orchestration.assets import DASHBOARD, STAGING
from sluice.orchestration.transforms import (
    BuildOperator,
    DocumentOperator,
    PlanOperator,
    PublishOperator,
    ReportTestsOperator,
    StepOperator,
)
from sluice.settings import ROOT, Settings
from sluice.transform import Outcome, Plan, Publication
from sluice.transform.lineage import Readiness
from tests.unit.orchestration.test_operators import Outlets

READY = Readiness([], {}, complete=True, staging={}, work_lists=[], suspects=[])
FCT = Asset(name="marts.fct_flights")
FAILED = [
    {"unique_id": f"{kind}.sluice.a.1", "status": "fail", "message": f"a {kind} failed"} for kind in ("model", "test")
]
ROLES: list[str] = []


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ROLES.clear()
    monkeypatch.setattr(
        transforms, "settings_as", lambda role: ROLES.append(role) or Settings(contracts=ROOT / "contracts")
    )


@pytest.fixture
def tasks() -> dict[str, StepOperator]:
    with DAG("transform") as dag:
        chain(
            PlanOperator(task_id="plan"),
            BuildOperator(task_id="build", outlets=[STAGING]),
            ReportTestsOperator(task_id="test"),
            PublishOperator(task_id="publish", outlets=[FCT, DASHBOARD]),
            DocumentOperator(task_id="document", outlets=[DASHBOARD]),
        )
    return {task.task_id: task for task in dag.tasks}  # type: ignore[misc]


class Step:
    """A fake of a step, which records how it was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, result: object) -> None:
        self.options: dict[str, Any] = {}
        self.result = result
        monkeypatch.setattr(f"sluice.transform.{name}", self)

    def __call__(self, *_: object, **options: Any) -> Any:
        self.options = options
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


MakeStep = Callable[[str, object], Step]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> MakeStep:
    return lambda name, result: Step(monkeypatch, name, result)


def context_of(attempt: int = 1, states: dict[str, str] | None = None, loads: list[int] | None = None) -> Any:
    pushed: dict[str, Any] = {}
    active = iter(loads or ())

    def get_dr_count(dag_id: str, states: list[str]) -> int:
        assert states == ["running"]
        return next(active, 0) if dag_id == "load_flights_departed" else 0

    def get_task_states(dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, str]]:
        assert sorted(task_ids) == ["build", "plan", "test"]
        return {run_id: states or {} for run_id in run_ids}

    ti = SimpleNamespace(
        dag_id="transform",
        run_id="scheduled__1",
        try_number=attempt,
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
        get_task_states=get_task_states,
        get_dr_count=get_dr_count,
    )
    return {"ti": ti, "outlet_events": Outlets(), "pushed": pushed}


def test_a_plan_with_nothing_to_build_skips_every_other_step(tasks: dict[str, StepOperator], step: MakeStep) -> None:
    step("plan", Plan({}, due=False))
    context = context_of()
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        tasks["plan"].execute(context)
    assert sorted(skipped.value.tasks) == ["build", "document", "publish", "test"]
    assert "nothing to build" in context["pushed"]["return_value"]["summary"]


def test_a_plan_is_named_after_the_run(tasks: dict[str, StepOperator], step: MakeStep) -> None:
    called = step("plan", Plan({}, due=True))
    task = tasks["plan"]
    task.render_template_fields({"run_id": "scheduled__1"})
    assert task.execute(context_of())["dates"] == {}
    assert called.options["run"] == "scheduled__1"
    assert ROLES == ["transformer"]


@pytest.mark.parametrize(("seconds", "waits"), [(30.0, 3), (0.0, 0)])
def test_a_plan_waits_for_loads_in_progress_but_not_for_ever(
    tasks: dict[str, StepOperator], step: MakeStep, monkeypatch: pytest.MonkeyPatch, seconds: float, waits: int
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(transforms.time, "sleep", slept.append)
    monkeypatch.setattr(transforms, "LOADS_SECONDS", seconds)
    called = step("plan", Plan({}, due=True))
    tasks["plan"].execute(context_of(loads=[1, 2, 1]))
    assert len(slept) == waits
    assert called.options
    assert called.options["contracts"]


@pytest.mark.parametrize(("task", "name"), [("build", "build"), ("test", "check")])
@pytest.mark.parametrize(("attempt", "resumes"), [(1, False), (2, True)])
def test_a_retried_or_cleared_step_resumes(
    tasks: dict[str, StepOperator], step: MakeStep, task: str, name: str, attempt: int, resumes: bool
) -> None:
    called = step(name, Outcome(READY, nodes=5, tests=3))
    tasks[task].execute(context_of(attempt))
    assert called.options["resume"] is resumes


def test_each_step_fails_by_what_concerns_it(tasks: dict[str, StepOperator], step: MakeStep) -> None:
    outcome = Outcome(READY, failed=FAILED, error=("terminal", "dbt: both", ""))
    step("build", outcome)
    step("check", outcome)
    with pytest.raises(TerminalError, match="a model failed"):
        tasks["build"].execute(context_of())
    with pytest.raises(TerminalError, match="a test failed"):
        tasks["test"].execute(context_of())


@pytest.mark.parametrize(("task", "name"), [("build", "build"), ("test", "check"), ("publish", "publish_built")])
def test_a_step_without_anything_to_do_is_skipped(
    tasks: dict[str, StepOperator], step: MakeStep, task: str, name: str
) -> None:
    step(name, None)
    with pytest.raises(AirflowSkipException):
        tasks[task].execute(context_of())


@pytest.mark.parametrize("state", ["failed", "upstream_failed"])
def test_a_publication_after_a_build_that_left_nothing_fails(
    tasks: dict[str, StepOperator], step: MakeStep, state: str
) -> None:
    # Otherwise its skip would hide the failure: the state of the last task is that of the run.
    step("publish_built", None)
    with pytest.raises(TerminalError, match="nothing was built"):
        tasks["publish"].execute(context_of(states={"plan": "success", "build": state}))


@pytest.mark.parametrize("documented", [True, False])
def test_publishing_records_the_figures_and_skips_documentation_that_is_up_to_date(
    tasks: dict[str, StepOperator], step: MakeStep, documented: bool
) -> None:
    step("publish_built", Publication(Outcome(READY, tests=3, seconds=1.25), ["fct_flights"]))
    step("is_documented", documented)
    context = context_of()
    if documented:
        with pytest.raises(DownstreamTasksSkipped) as skipped:
            tasks["publish"].execute(context)
        assert list(skipped.value.tasks) == ["document"]
        figures = context["pushed"]["return_value"]
    else:
        figures = tasks["publish"].execute(context)
    assert (figures["marts"], figures["tests"], figures["seconds"]) == (["fct_flights"], 3, 1.2)
    for asset in (FCT, DASHBOARD):
        assert context["outlet_events"][asset].extra["tests"] == 3
        assert context["outlet_events"][asset].extra["marts"] == ["fct_flights"]


@pytest.mark.parametrize(("generated", "summary"), [(True, "generated"), (False, "up to date")])
def test_the_documentation_records_how_much_it_describes(
    tasks: dict[str, StepOperator], step: MakeStep, monkeypatch: pytest.MonkeyPatch, generated: bool, summary: str
) -> None:
    step("document", generated)
    nodes = {name: {"resource_type": name.split(".")[0]} for name in ("model.a", "model.b", "test.c", "seed.d")}
    manifest = {"nodes": nodes, "exposures": {"exposure.e": {}}}
    monkeypatch.setattr("sluice.transform.dbt.Dbt.read_manifest", lambda self: manifest)
    context = context_of()
    figures = tasks["document"].execute(context)
    expected = {"documentation": summary, "models": 2, "tests": 1, "exposures": 1}
    assert figures == {"summary": summary, **expected}
    assert context["outlet_events"][DASHBOARD].extra == expected


def test_an_error_of_the_documentation_fails_no_run(tasks: dict[str, StepOperator], step: MakeStep) -> None:
    step("document", TransientError("dbt: no template", "fix it"))
    with pytest.raises(AirflowSkipException, match="the next transform tries again"):
        tasks["document"].execute(context_of())


def test_stopping_a_step_stops_dbt(
    tasks: dict[str, StepOperator], step: MakeStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr("sluice.transform.dbt.Dbt.stop", lambda self: stopped.append(True))
    step("build", Outcome(READY))
    task = tasks["build"]
    task.on_kill()
    assert stopped == []
    task.execute(context_of())
    task.on_kill()
    assert stopped == [True]
