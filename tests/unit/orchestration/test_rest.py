"""The REST client: logging in, and every fault as one line that says what to do."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.orchestration import follow
from sluice.orchestration.rest import Airflow, NoDagError, NotThereError
from sluice.settings import Settings

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, password: str = "right") -> Airflow:
    """A client of an Airflow that knows one password and otherwise answers as told."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            right = b'"right"' in request.content
            return httpx.Response(201 if right else 401, json={"access_token": "t"} if right else {"detail": "no"})
        assert request.headers["authorization"] == "Bearer t"
        return answer(request)

    settings = Settings(airflow_port=18080, airflow_admin_password=SecretStr(password))
    return Airflow(settings, httpx.MockTransport(handle))


def says(status: int, body: Any) -> Answer:
    return lambda request: httpx.Response(status, json=body)


def line(error: type[SluiceError], ask: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        ask()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_is_not_there_says_how_to_start_it() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    airflow = Airflow(Settings(airflow_admin_password=SecretStr("x")), httpx.MockTransport(refuse))
    said = line(TransientError, lambda: airflow.run("transform", "1"))
    assert "127.0.0.1:8080" in said
    assert "make up" in said


def test_a_wrong_password_names_its_setting_and_not_its_value() -> None:
    said = line(TerminalError, lambda: client(says(200, {}), "wr0ng").run("transform", "1"))
    assert "SLUICE_AIRFLOW_ADMIN_PASSWORD" in said
    assert "wr0ng" not in said


def test_an_old_token_is_renewed_once() -> None:
    states = iter([401, 200])
    airflow = client(lambda request: httpx.Response(next(states), json={"state": "running"}))
    assert airflow.run("transform", "1") == {"state": "running"}


def test_a_missing_secret_is_an_error_before_anything_is_asked() -> None:
    with pytest.raises(TerminalError, match="SLUICE_AIRFLOW_ADMIN_PASSWORD"):
        Airflow(Settings(_env_file=None))  # type: ignore[call-arg]


def test_a_run_of_a_paused_dag_is_refused() -> None:
    airflow = client(says(200, {"is_paused": True}))
    assert "dags/transform" in line(TerminalError, lambda: airflow.trigger("transform", "1"))


class Runs:
    """An Airflow that makes a run of each name once; the answer of the first ``lost`` requests does not arrive."""

    def __init__(self, lost: int = 0) -> None:
        self.made: list[str] = []
        self.lost = lost

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path == "/api/v2/dags/transform":
            return httpx.Response(200, json={"is_paused": False})
        if request.method == "GET":
            known = request.url.path.removeprefix("/api/v2/dags/transform/dagRuns/") in self.made
            return httpx.Response(200 if known else 404, json={"state": "queued"})
        assert request.url.path == "/api/v2/dags/transform/dagRuns"
        run_id = json.loads(request.content)["dag_run_id"]
        if run_id in self.made:
            return httpx.Response(409, json={"detail": "Unique constraint violation"})
        self.made.append(run_id)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(200, json={"dag_run_id": run_id})


def test_a_trigger_names_its_run() -> None:
    runs = Runs()
    client(runs).trigger("transform", "manual__1")
    assert runs.made == ["manual__1"]


def test_a_run_whose_answer_was_lost_is_asked_for_again_and_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL", timedelta(0))
    runs = Runs(lost=1)
    run = follow.start(client(runs), "transform")
    assert runs.made == [run.run_id]


def test_a_conflict_about_something_else_is_not_taken_for_the_run() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/dags/transform":
            return httpx.Response(200, json={"is_paused": False})
        return httpx.Response(404 if request.method == "GET" else 409, json={"detail": "no"})

    with pytest.raises(NotThereError):
        client(answer).trigger("transform", "manual__1")


def test_a_dag_that_does_not_import_is_named_with_its_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/importErrors"):
            fault = {"filename": "load.py", "stack_trace": "Traceback\n  x\nModuleNotFoundError: no x\n"}
            return httpx.Response(200, json={"import_errors": [fault]})
        return httpx.Response(404, json={"detail": "not found"})

    said = line(NoDagError, lambda: client(answer).dag("load_x"))
    assert "load.py" in said
    assert "ModuleNotFoundError: no x" in said


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotThereError), (409, TransientError), (422, TerminalError), (503, TransientError)]
)
def test_a_refusal_says_whether_to_try_again(status: int, error: type[SluiceError]) -> None:
    said = line(error, lambda: client(says(status, {"detail": "because of this"})).tasks("transform", "1"))
    assert str(status) in said
    assert "because of this" in said


def test_a_task_without_a_return_value_has_no_figures() -> None:
    assert client(says(404, {"detail": "no xcom"})).figures("transform", "1", "transform") is None


def test_a_backfill_reprocesses_every_date_of_its_range() -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"is_paused": False})
        bodies.append(request.content)
        return httpx.Response(200, json={"id": 3})

    first, last = date(2013, 1, 1), date(2013, 1, 2)
    assert client(answer).backfill("rebuild", first, last, {"streams": ["a.b"]}, at_once=2)["id"] == 3
    for part in (b'"from_date":"2013-01-01T00:00:00Z"', b'"to_date":"2013-01-02T00:00:00Z"', b'"completed"', b'"a.b"'):
        assert part in bodies[0]


def test_a_backfill_is_open_until_airflow_has_closed_it() -> None:
    def found(*backfills: dict[str, Any]) -> object:
        return client(says(200, {"backfills": list(backfills)})).open_backfill("rebuild")

    assert found({"id": 3, "completed_at": None}) == {"id": 3, "completed_at": None}
    assert found({"id": 3, "completed_at": "2026-01-01T00:00:00Z"}) is None
    assert found() is None


def test_pausing_a_backfill_that_airflow_has_closed_is_no_fault() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(409, json={"detail": "Backfill is already completed."})

    client(answer).pause_backfill(3)
    client(answer).pause_backfill(3, paused=False)
    assert asked == ["PUT /api/v2/backfills/3/pause", "PUT /api/v2/backfills/3/unpause"]


def test_runs_of_a_backfill_are_read_page_by_page() -> None:
    runs = [{"dag_run_id": str(number)} for number in range(250)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        return httpx.Response(200, json={"dag_runs": runs[start : start + int(request.url.params["limit"])]})

    assert list(client(answer).backfill_runs("rebuild", date(2013, 1, 1), date(2013, 12, 31))) == runs


def test_runs_of_a_backfill_are_counted_without_being_read() -> None:
    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return httpx.Response(200, json={"dag_runs": [{}], "total_entries": 366})

    day = date(2013, 1, 1)
    assert client(answer).count_backfill_runs("rebuild", day, day, ("success", "failed")) == 366
    assert asked[0].get_list("state") == ["success", "failed"]
    assert asked[0]["limit"] == "1"


def test_health_names_what_is_broken() -> None:
    parts = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}}
    assert client(says(200, parts)).unhealthy() == ["scheduler", "dag_processor"]
