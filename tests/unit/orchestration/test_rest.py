"""The REST client: authentication, and every failure as an error of one line with a hint."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.orchestration import follow
from sluice.orchestration.rest import Airflow, DagNotFoundError, NotFoundError
from sluice.settings import Settings

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, password: str = "right") -> Airflow:
    """Returns a client of an Airflow that accepts one password and passes all other requests to the handler."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            right = b'"right"' in request.content
            return httpx.Response(201 if right else 401, json={"access_token": "t"} if right else {"detail": "no"})
        assert request.headers["authorization"] == "Bearer t"
        return handler(request)

    settings = Settings(airflow_port=18080, airflow_admin_password=SecretStr(password))
    return Airflow(settings, httpx.MockTransport(handle))


def respond(status: int, body: Any) -> Handler:
    return lambda request: httpx.Response(status, json=body)


def error_line(error: type[SluiceError], call: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_error_for_a_server_that_is_down_hints_at_starting_it() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    airflow = Airflow(Settings(airflow_admin_password=SecretStr("x")), httpx.MockTransport(refuse))
    message = error_line(TransientError, lambda: airflow.run("transform", "1"))
    assert "127.0.0.1:8080" in message
    assert "make up" in message


def test_a_wrong_password_error_names_its_setting_and_not_its_value() -> None:
    message = error_line(TerminalError, lambda: client(respond(200, {}), "wr0ng").run("transform", "1"))
    assert "SLUICE_AIRFLOW_ADMIN_PASSWORD" in message
    assert "wr0ng" not in message


def test_an_expired_token_is_renewed_once() -> None:
    states = iter([401, 200])
    airflow = client(lambda request: httpx.Response(next(states), json={"state": "running"}))
    assert airflow.run("transform", "1") == {"state": "running"}


def test_a_missing_secret_is_an_error_before_any_request() -> None:
    with pytest.raises(TerminalError, match="SLUICE_AIRFLOW_ADMIN_PASSWORD"):
        Airflow(Settings(_env_file=None))  # type: ignore[call-arg]


def test_triggering_a_paused_dag_is_an_error() -> None:
    airflow = client(respond(200, {"is_paused": True}))
    assert "dags/transform" in error_line(TerminalError, lambda: airflow.trigger("transform", "1"))


class RunsHandler:
    """Creates a run once per id; the response to the first ``lost`` requests does not arrive."""

    def __init__(self, lost: int = 0) -> None:
        self.created: list[str] = []
        self.lost = lost

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path == "/api/v2/dags/transform":
            return httpx.Response(200, json={"is_paused": False})
        if request.method == "GET":
            exists = request.url.path.removeprefix("/api/v2/dags/transform/dagRuns/") in self.created
            return httpx.Response(200 if exists else 404, json={"state": "queued"})
        assert request.url.path == "/api/v2/dags/transform/dagRuns"
        run_id = json.loads(request.content)["dag_run_id"]
        if run_id in self.created:
            return httpx.Response(409, json={"detail": "Unique constraint violation"})
        self.created.append(run_id)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(200, json={"dag_run_id": run_id})


def test_a_trigger_sends_its_run_id() -> None:
    runs = RunsHandler()
    client(runs).trigger("transform", "manual__1")
    assert runs.created == ["manual__1"]


def test_a_trigger_whose_response_was_lost_is_retried_and_creates_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL", timedelta(0))
    runs = RunsHandler(lost=1)
    run = follow.trigger_run(client(runs), "transform")
    assert runs.created == [run.run_id]


def test_another_conflict_is_not_mistaken_for_an_existing_run() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/dags/transform":
            return httpx.Response(200, json={"is_paused": False})
        return httpx.Response(404 if request.method == "GET" else 409, json={"detail": "no"})

    with pytest.raises(NotFoundError):
        client(handler).trigger("transform", "manual__1")


def test_a_file_that_does_not_import_is_named_with_its_error() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/importErrors"):
            import_error = {"filename": "load.py", "stack_trace": "Traceback\n  x\nModuleNotFoundError: no x\n"}
            return httpx.Response(200, json={"import_errors": [import_error]})
        return httpx.Response(404, json={"detail": "not found"})

    message = error_line(DagNotFoundError, lambda: client(handler).dag("load_x"))
    assert "load.py" in message
    assert "ModuleNotFoundError: no x" in message


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFoundError), (409, TransientError), (422, TerminalError), (503, TransientError)]
)
def test_the_error_class_shows_whether_a_retry_can_help(status: int, error: type[SluiceError]) -> None:
    message = error_line(error, lambda: client(respond(status, {"detail": "because of this"})).tasks("transform", "1"))
    assert str(status) in message
    assert "because of this" in message


def test_a_task_without_an_xcom_has_no_return_value() -> None:
    assert client(respond(404, {"detail": "no xcom"})).return_value("transform", "1", "transform") is None


def test_a_backfill_reprocesses_every_date_of_its_range() -> None:
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"is_paused": False})
        bodies.append(request.content)
        return httpx.Response(200, json={"id": 3})

    first, last = date(2013, 1, 1), date(2013, 1, 2)
    assert client(handler).backfill("reprocess", first, last, {"streams": ["a.b"]}, max_active_runs=2)["id"] == 3
    for part in (b'"from_date":"2013-01-01T00:00:00Z"', b'"to_date":"2013-01-02T00:00:00Z"', b'"completed"', b'"a.b"'):
        assert part in bodies[0]


def test_a_backfill_is_open_until_airflow_has_closed_it() -> None:
    def open_backfill(*backfills: dict[str, Any]) -> object:
        return client(respond(200, {"backfills": list(backfills)})).open_backfill("reprocess")

    assert open_backfill({"id": 3, "completed_at": None}) == {"id": 3, "completed_at": None}
    assert open_backfill({"id": 3, "completed_at": "2026-01-01T00:00:00Z"}) is None
    assert open_backfill() is None


def test_pausing_a_closed_backfill_is_not_an_error() -> None:
    requests: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(f"{request.method} {request.url.path}")
        return httpx.Response(409, json={"detail": "Backfill is already completed."})

    client(handler).pause_backfill(3)
    client(handler).pause_backfill(3, paused=False)
    assert requests == ["PUT /api/v2/backfills/3/pause", "PUT /api/v2/backfills/3/unpause"]


def test_runs_of_a_backfill_are_read_page_by_page() -> None:
    runs = [{"dag_run_id": str(number)} for number in range(250)]

    def handler(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        return httpx.Response(200, json={"dag_runs": runs[start : start + int(request.url.params["limit"])]})

    assert list(client(handler).backfill_runs("reprocess", date(2013, 1, 1), date(2013, 12, 31))) == runs


@pytest.mark.parametrize(
    ("queued_at", "found"),
    [("2026-01-01T10:00:00Z", True), ("2026-01-01T09:59:59Z", False), (None, False), ("", False)],
    ids=["at that moment", "before", "not queued yet", "no run"],
)
def test_a_run_counts_if_it_was_queued_since_a_moment(queued_at: str | None, found: bool) -> None:
    runs = [] if queued_at == "" else [{"dag_run_id": "r1", "queued_at": queued_at}]
    moment = datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert client(respond(200, {"dag_runs": runs})).run_since("transform", moment) == ("r1" if found else None)


def test_runs_of_a_backfill_are_counted_without_reading_them() -> None:
    requests: list[httpx.QueryParams] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request.url.params)
        return httpx.Response(200, json={"dag_runs": [{}], "total_entries": 366})

    day = date(2013, 1, 1)
    assert client(handler).count_backfill_runs("reprocess", day, day, ("success", "failed")) == 366
    assert requests[0].get_list("state") == ["success", "failed"]
    assert requests[0]["limit"] == "1"


def test_unhealthy_components_are_named() -> None:
    parts = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}}
    assert client(respond(200, parts)).unhealthy_components() == ["scheduler", "dag_processor"]
