"""A small client of Airflow's REST API, for the CLI. Every failure is a one-line error."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import httpx

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings

USER = "admin"
Json = dict[str, Any]
"""An object of Airflow's API, as its documentation at ``/docs`` describes it."""


class Airflow:
    """Airflow's API as the user ``admin``. Logs in on the first request, and again when the token has expired."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._address = settings.airflow
        self._password = settings.secret("airflow_admin_password")
        self._token: str | None = None
        # The address is local: ignore any proxy that the environment names.
        self._http = httpx.Client(base_url=self._address, timeout=30.0, transport=transport, trust_env=False)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def dag(self, dag_id: str) -> Json:
        """Returns a DAG's state.

        Raises:
            DagNotFoundError: Airflow has not read the DAG (yet); names the import error, if there is one.
        """
        try:
            return self._get(f"/dags/{dag_id}")
        except NotFoundError:
            import_errors = self._get("/importErrors")["import_errors"]
        if import_errors:
            last_line = (import_errors[0]["stack_trace"] or "").strip().splitlines()[-1:]
            raise DagNotFoundError(
                f"Airflow has no DAG {dag_id}: {import_errors[0]['filename']} does not import: {''.join(last_line)}",
                "fix that file",
            )
        raise DagNotFoundError(f"Airflow has no DAG {dag_id} (yet)", "see `make logs S=airflow-dag-processor`")

    def dag_details(self, dag_id: str) -> Json:
        """Returns a DAG with its parameters and the first and last date of its runs, as Airflow has read it."""
        return self._get(f"/dags/{dag_id}/details")

    def trigger(self, dag_id: str, run_id: str, conf: Json | None = None) -> None:
        """Triggers a run, which is queued while another run is active. Idempotent for the same run id.

        Args:
            dag_id: the DAG to run.
            run_id: the run's id, from ``new_run_id``.
            conf: the run's parameters.

        Raises:
            TerminalError: the DAG is paused, so the run would stay queued forever.
        """
        self.ensure_not_paused(dag_id)
        try:
            self._post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "dag_run_id": run_id, "conf": conf or {}})
        except ConflictError:
            # An earlier request created the run, and its response was lost.
            self.run(dag_id, run_id)

    def ensure_not_paused(self, dag_id: str) -> None:
        """Raises a TerminalError if the DAG is paused."""
        if self.dag(dag_id)["is_paused"]:
            raise TerminalError(f"the DAG {dag_id} is paused", f"unpause it at {self._address}/dags/{dag_id}")

    def run(self, dag_id: str, run_id: str) -> Json:
        """Returns a DAG run's state."""
        return self._get(f"/dags/{dag_id}/dagRuns/{run_id}")

    def run_since(self, dag_id: str, moment: datetime) -> str | None:
        """Returns the id of the DAG's newest run if it was queued at that moment or later, whatever its state."""
        runs = self._get(f"/dags/{dag_id}/dagRuns", {"order_by": "-id", "limit": 1})["dag_runs"]
        if runs and runs[0]["queued_at"] and datetime.fromisoformat(runs[0]["queued_at"]) >= moment:
            return str(runs[0]["dag_run_id"])
        return None

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        """Returns the task instances of a run."""
        return list(self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Returns a task's return value, or None if it has none."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        try:
            return self._get(path, {"deserialize": True})["value"]
        except NotFoundError:
            return None

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Json]:
        """Returns the log of one attempt at a task: entries with ``event``, perhaps ``level`` and ``error_detail``."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self._get(path, {"full_content": True})["content"]
        return [entry if isinstance(entry, dict) else {"event": str(entry)} for entry in content]

    def backfill(
        self, dag_id: str, first: date, last: date, conf: Json, max_active_runs: int, reprocess: str = "completed"
    ) -> Json:
        """Creates a backfill: one run per date, both ends included.

        Args:
            dag_id: the DAG to run.
            first, last: the dates (UTC).
            conf: the runs' parameters.
            max_active_runs: how many runs are active at the same time.
            reprocess: which dates with an earlier run are run again: ``completed`` (all) or ``failed``.

        Raises:
            TerminalError: the DAG is paused.
            TransientError: another backfill of the DAG is active.
        """
        self.ensure_not_paused(dag_id)
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": reprocess,
            "max_active_runs": max_active_runs,
            "dag_run_conf": conf,
        }
        return self._post("/backfills", body)

    def open_backfill(self, dag_id: str) -> Json | None:
        """Returns the backfill of a DAG that Airflow has not closed yet, or None."""
        backfills = self._get("/backfills", {"dag_id": dag_id, "order_by": "-id", "limit": 1})["backfills"]
        return backfills[0] if backfills and backfills[0]["completed_at"] is None else None

    def pause_backfill(self, number: int, paused: bool = True) -> None:
        """Pauses or unpauses a backfill: its queued runs do not start while it is paused. Ignores a closed one."""
        with suppress(ConflictError):
            self._request("PUT", f"/backfills/{number}/{'pause' if paused else 'unpause'}")

    def delete_run(self, dag_id: str, run_id: str) -> bool:
        """Deletes a DAG run that is queued or has ended; returns False if it is running or does not exist."""
        try:
            self._request("DELETE", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")
        except (ConflictError, NotFoundError):
            return False
        return True

    def backfill_runs(self, dag_id: str, first: date, last: date) -> Iterable[Json]:
        """Yields the backfill runs of a range of dates, both ends included."""
        params = _backfill_filter(first, last) | {"order_by": "logical_date", "limit": 100}
        offset = 0
        while page := self._get(f"/dags/{dag_id}/dagRuns", params | {"offset": offset})["dag_runs"]:
            yield from page
            offset += len(page)

    def count_backfill_runs(self, dag_id: str, first: date, last: date, states: Iterable[str]) -> int:
        """Returns how many of these runs are in one of the states; cheap, unlike reading a year's runs."""
        params = _backfill_filter(first, last) | {"state": list(states), "limit": 1}
        return int(self._get(f"/dags/{dag_id}/dagRuns", params)["total_entries"])

    def unhealthy_components(self) -> list[str]:
        """Returns which of Airflow's metadata database, scheduler and DAG processor are not healthy."""
        health = self._get("/monitor/health")
        components = ("metadatabase", "scheduler", "dag_processor")
        return [component for component in components if health.get(component, {}).get("status") != "healthy"]

    def _get(self, path: str, params: Json | None = None) -> Json:
        return self._request("GET", path, params=params)

    def _post(self, path: str, body: Json) -> Json:
        return self._request("POST", path, json=body)

    def _request(self, method: str, path: str, **arguments: Any) -> Json:
        if self._token is None:
            self._token = self._login()
        response = self._send(method, f"/api/v2{path}", **arguments)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token = self._login()
            response = self._send(method, f"/api/v2{path}", **arguments)
        if response.is_success:
            result: Json = response.json() if response.content else {}
            return result
        raise self._error(method, path, response)

    def _login(self) -> str:
        self._token = None
        response = self._send("POST", "/auth/token", json={"username": USER, "password": self._password})
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise TerminalError(
                f"Airflow at {self._address} rejects the password of {USER}",
                "set SLUICE_AIRFLOW_ADMIN_PASSWORD to the password that Airflow was set up with, or give it this one: "
                'run `make airflow A="users reset-password --username admin"`',
            )
        if not response.is_success:
            raise self._error("POST", "/auth/token", response)
        return str(response.json()["access_token"])

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers["Accept"] = "application/json"
        try:
            return self._http.request(method, path, headers=headers, **arguments)
        except httpx.TransportError as error:
            raise TransientError(
                f"Airflow at {self._address} is down ({error})", "start it with `make up`, or see `make status`"
            ) from error

    def _error(self, method: str, path: str, response: httpx.Response) -> SluiceError:
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = response.text[:200]
        message = f"Airflow rejects {method} {path}: {response.status_code} {detail}"
        if response.status_code == httpx.codes.NOT_FOUND:
            return NotFoundError(message)
        if response.status_code == httpx.codes.CONFLICT:
            return ConflictError(message, "retry when that has finished")
        if response.is_server_error:
            return TransientError(message, "retry, or see `make logs S=airflow-api-server`")
        return TerminalError(message)


def new_run_id() -> str:
    """Returns a unique id for a manual run, in the form that Airflow generates."""
    return f"manual__{datetime.now(UTC).isoformat()}_{token_hex(4)}"


def _backfill_filter(first: date, last: date) -> Json:
    return {
        "run_type": "backfill",
        "logical_date_gte": f"{first}T00:00:00Z",
        "logical_date_lte": f"{last}T00:00:00Z",
    }


class NotFoundError(TerminalError):
    """Airflow has no resource of that name."""


class ConflictError(TransientError):
    """The request conflicts with something that is in progress, or with something that has ended already."""


class DagNotFoundError(TransientError):
    """Airflow has not read the DAG (yet)."""
