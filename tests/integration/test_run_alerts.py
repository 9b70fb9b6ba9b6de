"""Alerts on Airflow's runs and the latest runs, read as the reader from tables with the columns of Airflow's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.queries import latest_runs
from sluice.alerts.runs import REFUSED, failed_runs, import_errors, overdue_loads
from sluice.alerts.store import Problem, Run
from sluice.contracts import load_contracts
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import AIRFLOW
from tests.fixtures.airflow_tables import Airflow, airflow_tables
from tests.fixtures.servers import CONTRACT


@pytest.fixture
def airflow(servers: Settings) -> Iterator[Airflow]:
    with airflow_tables(servers) as connection:
        yield connection


def _dag(airflow: Airflow, dag_id: str) -> None:
    airflow.execute("insert into dag values (%s, false)", (dag_id,))


def _run(airflow: Airflow, dag_id: str, run_id: str, state: str, minutes_ago: int = 0, run_type: str = "manual") -> Run:
    airflow.execute(
        "insert into dag_run select %(dag)s, %(run)s, %(state)s, %(type)s, at, at,"
        " case when %(state)s in ('success', 'failed') then at end"
        " from (select now() - make_interval(mins => %(minutes)s) as at) times",
        {"dag": dag_id, "run": run_id, "state": state, "type": run_type, "minutes": minutes_ago},
    )
    return Run(dag_id, run_id)


def test_a_dag_fails_until_its_next_success_however_often_it_fails(servers: Settings, airflow: Airflow) -> None:
    _dag(airflow, "transform")
    _dag(airflow, "maintain")
    _run(airflow, "transform", "1", "success", 9)
    _run(airflow, "maintain", "1", "success", 9)
    assert failed_runs(servers) == {}
    _run(airflow, "transform", "2", "failed", 8)
    last = _run(airflow, "transform", "3", "failed", 7)
    airflow.execute(
        "insert into task_instance (dag_id, run_id, task_id, state, start_date) values"
        " ('transform', '3', 'test', 'upstream_failed', null), ('transform', '3', 'publish', 'failed', now()),"
        " ('transform', '3', 'test', 'failed', now() - interval '1 minute'),"
        " ('transform', '2', 'plan', 'failed', now())"
    )
    problems = failed_runs(servers)
    assert {dag_id: problem.run for dag_id, problem in problems.items()} == {"transform": last}
    assert problems["transform"].message == "run 3 failed in the tasks test and publish"
    _run(airflow, "transform", "4", "running")
    assert failed_runs(servers) == problems
    assert failed_runs(servers, reported=[last]) == {}
    _run(airflow, "transform", "5", "success")
    assert failed_runs(servers) == {}


def test_a_run_that_refuses_its_parameters_is_no_failure_and_makes_up_for_none(
    servers: Settings, airflow: Airflow
) -> None:
    _dag(airflow, "reprocess")

    def refuse(run_id: str, minutes_ago: int) -> None:
        _run(airflow, "reprocess", run_id, "failed", minutes_ago)
        airflow.execute("insert into xcom (dag_id, run_id, key) values ('reprocess', %s, %s)", (run_id, REFUSED))
        airflow.execute("update dag_run set run_after = queued_at")

    def latest() -> list[str]:
        with connect(servers, "reader", AIRFLOW) as reader:
            return [run.run_id for run in latest_runs(reader)]

    refuse("1", 5)
    assert failed_runs(servers) == {}
    assert latest() == []
    failed = _run(airflow, "reprocess", "2", "failed", 4)
    # What a task returns is no refusal, and neither is one of another run.
    airflow.execute("insert into xcom (dag_id, run_id, key) values ('reprocess', '2', 'return_value')")
    refuse("3", 3)
    assert failed_runs(servers)["reprocess"].run == failed
    assert latest() == ["2"]


def test_a_run_that_timed_out_names_no_task(servers: Settings, airflow: Airflow) -> None:
    _dag(airflow, "transform")
    _run(airflow, "transform", "1", "failed")
    assert failed_runs(servers)["transform"].message == "run 1 failed without a failed task: it timed out"


def test_the_success_of_another_date_does_not_make_up_for_a_backfill_that_failed(
    servers: Settings, airflow: Airflow
) -> None:
    _dag(airflow, "reprocess")
    _run(airflow, "reprocess", "1", "failed", 3, "backfill")
    _run(airflow, "reprocess", "2", "failed", 2, "backfill")
    _run(airflow, "reprocess", "3", "success", 1, "backfill")
    _run(airflow, "reprocess", "4", "success", 0, "manual")
    problem = failed_runs(servers)["reprocess"]
    assert problem.run == Run("reprocess", "2")
    assert problem.message.endswith("it timed out, and 1 more of its backfills failed")
    # Airflow repeats a date in the same run.
    airflow.execute("update dag_run set state = 'success' where state = 'failed'")
    assert failed_runs(servers) == {}


@pytest.mark.parametrize("run_type", ["backfill", "scheduled", "manual"])
def test_a_run_of_any_kind_that_is_triggered_later_makes_up_for_a_manual_run_that_failed(
    servers: Settings, airflow: Airflow, run_type: str
) -> None:
    _dag(airflow, "reprocess")
    _dag(airflow, "transform")
    refused = _run(airflow, "reprocess", "manual__1", "failed", 3)
    assert failed_runs(servers)["reprocess"].run == refused
    _run(airflow, "transform", "1", "success", 2, run_type)
    _run(airflow, "reprocess", "2", "failed", 2, run_type)
    assert "reprocess" in failed_runs(servers)
    airflow.execute("delete from dag_run where run_id = '2'")
    _run(airflow, "reprocess", "3", "success", 1, run_type)
    assert failed_runs(servers) == {}


@pytest.mark.parametrize("run_type", ["backfill", "scheduled", "manual"])
def test_a_run_that_was_already_under_way_does_not_make_up_for_a_run_that_failed(
    servers: Settings, airflow: Airflow, run_type: str
) -> None:
    _dag(airflow, "reprocess")
    # Triggered before it, ended after it.
    _run(airflow, "reprocess", "1", "success", 5, run_type)
    airflow.execute("update dag_run set end_date = now() where run_id = '1'")
    failed = _run(airflow, "reprocess", "2", "failed", 4)
    # Triggered after it, ended before it.
    airflow.execute("update dag_run set end_date = now() - interval '2 minutes' where run_id = '2'")
    _run(airflow, "reprocess", "3", "success", 3, run_type)
    assert failed_runs(servers)["reprocess"].run == failed
    # Repeated runs are triggered again.
    airflow.execute("update dag_run set queued_at = now(), end_date = now() where run_id = '3'")
    assert failed_runs(servers) == {}


def test_a_run_without_the_time_at_which_it_was_queued_is_compared_by_its_start(
    servers: Settings, airflow: Airflow
) -> None:
    _dag(airflow, "reprocess")
    _run(airflow, "reprocess", "1", "failed", 3)
    _run(airflow, "reprocess", "2", "success", 2)
    airflow.execute("update dag_run set queued_at = null")
    assert failed_runs(servers) == {}


def test_a_dag_that_airflow_no_longer_has_does_not_fail(servers: Settings, airflow: Airflow) -> None:
    _dag(airflow, "load_a_b")
    _run(airflow, "load_a_b", "1", "failed")
    assert list(failed_runs(servers)) == ["load_a_b"]
    airflow.execute("update dag set is_stale = true")
    assert failed_runs(servers) == {}


def test_a_load_is_overdue_until_its_run_has_ended_even_by_failing(
    servers: Settings, airflow: Airflow, tmp_path: Path
) -> None:
    text = CONTRACT.format(stream="a.b", partitions=1)
    (tmp_path / "a.b.yaml").write_text(text.replace("load: {", "load: {overdue: 5m, "))
    contracts = load_contracts(tmp_path)
    contracts.require_all()
    _run(airflow, "load_a_b", "1", "failed", 60)
    _run(airflow, "load_a_b", "2", "running", 4)
    _run(airflow, "transform", "1", "running", 60)
    assert overdue_loads(servers, contracts) == {}
    airflow.execute("update dag_run set queued_at = now() - interval '6 minutes' where run_id = '2'")
    problem = overdue_loads(servers, contracts)["a.b"]
    assert isinstance(problem, Problem)
    assert problem.run == Run("load_a_b", "2")
    assert problem.message == "run 2 has not ended 5 minutes after it was due"
    airflow.execute("update dag_run set state = 'failed' where run_id = '2'")
    assert overdue_loads(servers, contracts) == {}


def test_a_load_that_is_paused_is_overdue_until_it_is_resumed(
    servers: Settings, airflow: Airflow, tmp_path: Path
) -> None:
    for stream in ("a.b", "c.d"):
        text = CONTRACT.format(stream=stream, partitions=1)
        (tmp_path / f"{stream}.yaml").write_text(text.replace("load: {", "load: {overdue: 5m, "))
        _dag(airflow, f"load_{stream.replace('.', '_')}")
    contracts = load_contracts(tmp_path)
    _run(airflow, "load_a_b", "1", "success", 4)
    airflow.execute("update dag set is_paused = true where dag_id = 'load_a_b'")
    assert overdue_loads(servers, contracts) == {}
    airflow.execute("update dag_run set queued_at = now() - interval '6 minutes'")
    assert overdue_loads(servers, contracts) == {
        "a.b": 'the DAG load_a_b is paused; `make airflow A="dags unpause load_a_b"` resumes it'
    }
    airflow.execute("update dag set is_paused = false")
    assert overdue_loads(servers, contracts) == {}


def test_a_file_that_does_not_import_is_named_with_the_last_line_of_its_error(
    servers: Settings, airflow: Airflow
) -> None:
    assert import_errors(servers) == {}
    trace = "Traceback (most recent call last):\n  File …\nZeroDivisionError: division by zero\n"
    airflow.execute("insert into import_error values (1, 'mine.py', %s)", (trace,))
    assert import_errors(servers) == {
        "dags/mine.py": "ZeroDivisionError: division by zero; fix that file, its DAGs do not run"
    }


def test_the_latest_runs_are_those_of_dags_that_airflow_has(servers: Settings, airflow: Airflow) -> None:
    _dag(airflow, "load_a_b")
    _dag(airflow, "transform")
    for dag_id in ("load_a_b", "transform", "load_deleted"):
        _run(airflow, dag_id, "1", "success", 3)
        _run(airflow, dag_id, "2", "failed", 2)
    airflow.execute("update dag_run set run_after = queued_at")

    def latest() -> list[tuple[str, str, str]]:
        with connect(servers, "reader", AIRFLOW) as reader:
            return [(run.dag_id, run.run_id, run.state) for run in latest_runs(reader)]

    assert latest() == [("load_a_b", "2", "failed"), ("transform", "2", "failed")]
    # The contract was removed.
    airflow.execute("update dag set is_stale = true where dag_id = 'load_a_b'")
    assert latest() == [("transform", "2", "failed")]
    _run(airflow, "transform", "3", "running")
    airflow.execute("update dag_run set run_after = queued_at")
    assert latest() == [("transform", "3", "running")]
