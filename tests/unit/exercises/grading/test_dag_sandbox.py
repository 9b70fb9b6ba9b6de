"""What graders learn of a DAG file: facts, runs, retries, triggers and deadlines; and what is wrong with it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox
from sluice.settings import Settings

FILE = "features.py"
DAGS = '''
"""Some Airflow DAGs."""

import os
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset, AsyncCallback, BaseHook, BaseOperator, DeadlineAlert, DeadlineReference
from airflow.sdk import SyncCallback, task
from airflow.sdk.exceptions import AirflowFailException

MINUTE = timedelta(minutes=1)


class WriteOperator(BaseOperator):
    template_fields = ("path",)

    def __init__(self, *, path, number, **kwargs):
        super().__init__(**kwargs)
        self.path, self.number = path, number

    def execute(self, context):
        if self.number == 1:
            raise ValueError("one\\nis wrong")
        Path(self.path).write_text(str(self.number))
        return self.path


def alert(text, context):
    raise RuntimeError(f"{text} {context['dag_run']['dag_id']} {context['deadline']['deadline_time']}")


async def alert_async(context):
    pass


with DAG("mapped", schedule=None, params={"numbers": [0, 1, 2]}):

    @task
    def numbers(params=None):
        return params["numbers"]

    WriteOperator.partial(
        task_id="write",
        path="{{ ti.map_index }}.txt",
        retries=2,
        retry_delay=MINUTE,
        retry_exponential_backoff=2.0,
        max_retry_delay=3 * MINUTE,
        outlets=[Asset("written")],
    ).expand(number=numbers())

with DAG("both", schedule=[Asset("raw.a"), Asset("raw.b")]):

    @task
    def dates(triggering_asset_events=None):
        return sorted(event.extra["date"] for events in triggering_asset_events.values() for event in events)

    dates()

with DAG("limits", schedule="0 6 * * *", params={"what": "hopeless"}):

    @task(retries=3, execution_timeout=timedelta(seconds=1))
    def attempt(params=None):
        what = params["what"]
        if what == "hopeless":
            raise AirflowFailException("never")
        if what == "exit":
            os._exit(3)
        if what == "connection":
            return [BaseHook.get_connection("there").host, os.environ.get("SLUICE_POSTGRES_PASSWORD")]
        time.sleep(60)

    attempt()

with DAG(
    "late",
    schedule=None,
    deadline=[
        DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, 20 * MINUTE, SyncCallback(alert, {"text": "late:"})),
        DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, 90 * MINUTE, AsyncCallback(alert_async)),
    ],
):
    attempt()
'''


def attempt_with(folder: Path, text: str) -> Attempt:
    (folder / FILE).write_text(text)
    return Attempt(Settings.model_construct(), folder, folder)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagSandbox]:
    folder = tmp_path_factory.mktemp("attempt")
    connections = {"there": {"conn_type": "http", "host": "x.invalid"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_POSTGRES_PASSWORD", "secret")
        with dag_sandbox(attempt_with(folder, DAGS), FILE, connections) as airflow:
            yield airflow
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_facts(airflow: DagSandbox) -> None:
    assert airflow.dag("both").assets == ["raw.a", "raw.b"]
    assert airflow.dag("limits").schedule == "0 6 * * *"
    assert airflow.dag("limits").tasks["attempt"].timeout == 1
    write = airflow.dag("mapped").tasks["write"]
    assert (write.operator, write.mapped, write.retries, write.templated) == ("WriteOperator", True, 2, ["path"])
    assert (write.upstream, write.outlets) == (["numbers"], ["written"])
    with pytest.raises(WrongAnswer, match="defines the DAG both, late, limits, mapped, expected other"):
        airflow.dag("other")


def test_a_run_with_a_failing_map_index_whose_waits_are_skipped(airflow: DagSandbox) -> None:
    run = airflow.run("mapped")
    assert (run.state, run.error) == ("failed", "write: ValueError: one is wrong")
    assert [(instance.index, instance.state, instance.tries) for instance in run.of("write")] == [
        (0, "success", 1),
        (1, "failed", 3),
        (2, "success", 1),
    ]
    assert [instance.value for instance in run.of("write")] == ["0.txt", None, "2.txt"]
    assert run.of("write")[1].fields == {"path": "1.txt"}
    first, second = run.of("write")[1].waits
    assert 60 <= first < 120
    assert 120 <= second <= 180


def test_a_run_with_parameters_and_nothing_to_map(airflow: DagSandbox) -> None:
    run = airflow.run("mapped", {"numbers": []}, datetime(2013, 1, 1, tzinfo=UTC))
    assert [(instance.task, instance.state) for instance in run.tasks] == [("numbers", "success"), ("write", "skipped")]
    again = airflow.run("mapped", {"numbers": [5]}, datetime(2013, 1, 1, tzinfo=UTC))
    assert [instance.state for instance in again.of("write")] == ["success"]


@pytest.mark.parametrize(
    ("what", "tries", "error"), [("hopeless", 1, "AirflowFailException: never"), ("sleep", 4, "AirflowTaskTimeout")]
)
def test_how_often_a_task_is_tried_and_how_it_ends(airflow: DagSandbox, what: str, tries: int, error: str) -> None:
    (instance,) = airflow.run("limits", {"what": what}).tasks
    assert (instance.state, instance.tries) == ("failed", tries)
    assert instance.error.startswith(error)


def test_a_task_has_the_given_connections_and_no_password(airflow: DagSandbox) -> None:
    (instance,) = airflow.run("limits", {"what": "connection"}).tasks
    assert instance.value == ["x.invalid", None]


def test_events_trigger_what_their_condition_allows(airflow: DagSandbox) -> None:
    assert airflow.publish([("raw.a", {"date": "2013-01-01"}), ("raw.c", {})]) == []
    assert airflow.publish([("raw.a", {"date": "2013-01-02"})]) == []
    (run,) = airflow.publish([("raw.b", {"date": "2013-01-03"})])
    assert run.of("dates")[0].value == ["2013-01-01", "2013-01-02", "2013-01-03"]
    assert airflow.publish([("raw.b", {"date": "2013-01-04"})]) == []


def test_deadlines_are_those_of_the_run_and_their_callbacks_are_called(airflow: DagSandbox) -> None:
    six, seven = datetime(2013, 1, 1, 6, tzinfo=UTC), datetime(2013, 1, 1, 7, tzinfo=UTC)
    _, (queued, logical) = airflow.deadlines("late", six, seven)
    assert (queued.due, logical.due) == (seven.replace(minute=20), seven.replace(minute=30))
    assert queued.error.endswith("RuntimeError: late: late 2013-01-01T07:20:00Z")
    # The triggerer does not see the DAG file.
    assert logical.error.startswith("Failed to import the callable on the triggerer")
    _, deadlines = airflow.deadlines("late", None, seven)
    assert [deadline.due for deadline in deadlines] == [seven.replace(minute=20)]


def test_a_task_that_ends_the_process_is_a_wrong_answer(tmp_path: Path) -> None:
    with dag_sandbox(attempt_with(tmp_path, DAGS), FILE) as airflow, pytest.raises(WrongAnswer, match="ends Airflow"):
        airflow.run("limits", {"what": "exit"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"""airflow DAG."""\ndef :\n', r"does not import: SyntaxError: invalid syntax \(line 2\)"),
        ('"""airflow DAG."""\nraise ValueError("one\\n* two")\n', r"does not import: ValueError: one \(line 2\)"),
        ("from airflow.sdk import DAG\n", "defines no DAG"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_wrong_answer(tmp_path: Path, text: str, message: str) -> None:
    with dag_sandbox(attempt_with(tmp_path, text), FILE) as airflow, pytest.raises(WrongAnswer, match=message):
        airflow.dags()


def test_a_missing_file_is_a_wrong_answer(tmp_path: Path) -> None:
    with (
        pytest.raises(WrongAnswer, match=r"features\.py is missing"),
        dag_sandbox(Attempt(Settings.model_construct(), tmp_path, tmp_path), FILE),
    ):
        pass
