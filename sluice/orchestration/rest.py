"""A small client of Airflow's REST API: what the CLI asks Airflow for, and every fault as one line."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from secrets import token_hex
from typing import Any

import httpx

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings

USER = "admin"
Json = dict[str, Any]
"""An object of Airflow's API, as its documentation at ``/docs`` describes it."""


class Airflow:
    """Airflow as its user ``admin`` sees it. Logs in when first asked, and again when the token is old."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._address = settings.airflow
        self._password = settings.secret("airflow_admin_password")
        self._token: str | None = None
        # Local addresses only: a proxy that the environment names has no business here.
        self._http = httpx.Client(base_url=self._address, timeout=30.0, transport=transport, trust_env=False)

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def dag(self, dag_id: str) -> Json:
        """A DAG's state.

        Raises:
            NoDagError: Airflow does not know it (yet); names the import error, if there is one.
        """
        try:
            return self._get(f"/dags/{dag_id}")
        except NotThereError:
            faults = self._get("/importErrors")["import_errors"]
        if faults:
            last = (faults[0]["stack_trace"] or "").strip().splitlines()[-1:]
            raise NoDagError(
                f"Airflow has no DAG {dag_id}; {faults[0]['filename']} does not import: {''.join(last)}",
                "fix that file",
            )
        raise NoDagError(f"Airflow has no DAG {dag_id} (yet)", "see `make logs S=airflow-dag-processor`")

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Asks for a run, which waits in the queue while another one is at it. Asking for it again changes nothing.

        Args:
            dag_id: whose.
            run_id: what to call it, as ``new_run_id`` makes it.

        Raises:
            TerminalError: the DAG is paused, so that the run would wait for ever.
        """
        self.refuse_paused(dag_id)
        try:
            self._post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "dag_run_id": run_id})
        except ConflictError:
            # Asked for before, and the answer was lost.
            self.run(dag_id, run_id)

    def refuse_paused(self, dag_id: str) -> None:
        """Raises a TerminalError if the DAG is paused."""
        if self.dag(dag_id)["is_paused"]:
            raise TerminalError(f"the DAG {dag_id} is paused", f"switch it on at {self._address}/dags/{dag_id}")

    def run(self, dag_id: str, run_id: str) -> Json:
        """A DAG run's state."""
        return self._get(f"/dags/{dag_id}/dagRuns/{run_id}")

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        """The task instances of a run."""
        return list(self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def figures(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned, or None if it returned nothing."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        try:
            return self._get(path, {"deserialize": True})["value"]
        except NotThereError:
            return None

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        """The log of one attempt at a task: entries with ``event``, perhaps ``level`` and ``error_detail``."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self._get(path, {"full_content": True})["content"]
        return [entry if isinstance(entry, dict) else {"event": str(entry)} for entry in content]

    def backfill(
        self, dag_id: str, first: date, last: date, conf: Json, at_once: int, again: str = "completed"
    ) -> Json:
        """Asks for a run per date, both ends included.

        Args:
            conf: the runs' parameters.
            at_once: how many run at the same time.
            again: which of the dates that have run before run again: ``completed`` (all) or ``failed``.

        Raises:
            TransientError: another backfill of the DAG is going on.
        """
        self.refuse_paused(dag_id)
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": again,
            "max_active_runs": at_once,
            "dag_run_conf": conf,
        }
        return self._post("/backfills", body)

    def open_backfill(self, dag_id: str) -> Json | None:
        """The backfill of a DAG that Airflow has not closed yet, if there is one."""
        found = self._get("/backfills", {"dag_id": dag_id, "order_by": "-id", "limit": 1})["backfills"]
        return found[0] if found and found[0]["completed_at"] is None else None

    def pause_backfill(self, number: int, paused: bool = True) -> None:
        """Keeps a backfill's runs that have not begun from beginning, or lets them; one that has ended stays so."""
        with suppress(ConflictError):
            self._ask("PUT", f"/backfills/{number}/{'pause' if paused else 'unpause'}")

    def backfill_runs(self, dag_id: str, first: date, last: date) -> Iterable[Json]:
        """The backfilled runs of a range of dates, both ends included."""
        wanted = _backfilled(first, last) | {"order_by": "logical_date", "limit": 100}
        offset = 0
        while page := self._get(f"/dags/{dag_id}/dagRuns", wanted | {"offset": offset})["dag_runs"]:
            yield from page
            offset += len(page)

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: Iterable[str]) -> int:
        """How many of these runs are in one of some states; cheap, where reading a year's runs is not."""
        wanted = _backfilled(first, last) | {"state": list(states), "limit": 1}
        return int(self._get(f"/dags/{dag_id}/dagRuns", wanted)["total_entries"])

    def unhealthy(self) -> list[str]:
        """The parts of Airflow that do not work; its metadata database, scheduler and DAG processor are asked after."""
        health = self._get("/monitor/health")
        parts = ("metadatabase", "scheduler", "dag_processor")
        return [part for part in parts if health.get(part, {}).get("status") != "healthy"]

    def _get(self, path: str, params: Json | None = None) -> Json:
        return self._ask("GET", path, params=params)

    def _post(self, path: str, body: Json) -> Json:
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **arguments: Any) -> Json:
        if self._token is None:
            self._token = self._login()
        answer = self._send(method, f"/api/v2{path}", **arguments)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._token = self._login()
            answer = self._send(method, f"/api/v2{path}", **arguments)
        if answer.is_success:
            result: Json = answer.json()
            return result
        raise self._refusal(method, path, answer)

    def _login(self) -> str:
        self._token = None
        answer = self._send("POST", "/auth/token", json={"username": USER, "password": self._password})
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise TerminalError(
                f"Airflow at {self._address} refuses the password of {USER}",
                "SLUICE_AIRFLOW_ADMIN_PASSWORD is not the one that it was set up with",
            )
        if not answer.is_success:
            raise self._refusal("POST", "/auth/token", answer)
        return str(answer.json()["access_token"])

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers["Accept"] = "application/json"
        try:
            return self._http.request(method, path, headers=headers, **arguments)
        except httpx.TransportError as error:
            raise TransientError(
                f"Airflow at {self._address} does not answer ({error})", "start it with `make up`, or see `make status`"
            ) from error

    def _refusal(self, method: str, path: str, answer: httpx.Response) -> SluiceError:
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:200]
        what = f"Airflow refuses {method} {path}: {answer.status_code} {detail}"
        if answer.status_code == httpx.codes.NOT_FOUND:
            return NotThereError(what)
        if answer.status_code == httpx.codes.CONFLICT:
            return ConflictError(what, "try again when it is over")
        if answer.is_server_error:
            return TransientError(what, "try again, or see `make logs S=airflow-api-server`")
        return TerminalError(what)


def new_run_id() -> str:
    """A name for a run that is asked for by hand, as Airflow makes them, and like no other."""
    return f"manual__{datetime.now(UTC).isoformat()}_{token_hex(4)}"


def _backfilled(first: date, last: date) -> Json:
    return {
        "run_type": "backfill",
        "logical_date_gte": f"{first}T00:00:00Z",
        "logical_date_lte": f"{last}T00:00:00Z",
    }


class NotThereError(TerminalError):
    """Airflow knows nothing by that name."""


class ConflictError(TransientError):
    """Airflow is at something that excludes what was asked for, or has ended it already."""


class NoDagError(TransientError):
    """Airflow has not read the DAG (yet)."""
