"""Runs a learner's DAG file in an Airflow of its own: another process, home folder and metadata database.

The platform's Airflow does not see the file, its runs or its assets. Graders ask for facts and results::

    with dag_sandbox(attempt, "report.py", connections={"warehouse_reader": connection}) as airflow:
        dag = airflow.dags()["report"]
        run = airflow.run("report", conf={"date": "2013-01-31"})

Nothing is imported from the file here, and Airflow is not imported at all.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.dag_results import Dag, DagRun, Deadline, Reply
from exercises.grading.programs import Program, running
from sluice.errors import TransientError
from sluice.settings import ROOT, Settings
from sluice.warehouse.connect import Role, warehouse_server

_START_SECONDS = 120.0
"""Airflow's import takes two seconds of CPU time; a loaded machine may need many times as long."""
_PARSE_SECONDS = 10
"""How long the file itself may take to import."""

Connection = Mapping[str, Any]
"""The fields of an Airflow connection: ``conn_type``, ``host``, ``port``, ``schema``, ``login``, ``password``."""


class DagSandbox:
    """An Airflow that has read one learner's DAG file. Made by ``dag_sandbox``."""

    def __init__(self, connection: socket.socket, program: Program, file: str, seconds: float) -> None:
        """Waits until Airflow is imported.

        Raises:
            TransientError: it cannot be.
        """
        self._connection = connection
        self._program = program
        self._replies = connection.makefile("r", encoding="utf-8")
        self._file = file
        self._seconds = seconds
        self._prepared = False
        if not self._read_line(_START_SECONDS):
            raise TransientError(f"Airflow does not start for the check: {program.error()}", "run the check again")

    def dags(self) -> dict[str, Dag]:
        """Returns the DAGs of the file by their id.

        Raises:
            WrongAnswer: the file does not import, or defines no DAG.
        """
        return {name: Dag.model_validate(dag) for name, dag in self._ask("dags").items()}

    def dag(self, dag_id: str) -> Dag:
        """Returns one DAG of the file.

        Raises:
            WrongAnswer: the file does not import, or does not define it.
        """
        dags = self.dags()
        if dag_id not in dags:
            raise WrongAnswer(
                f"{self._file} defines the DAG {', '.join(sorted(dags))}, expected {dag_id}", f'use dag_id="{dag_id}"'
            )
        return dags[dag_id]

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, logical_date: datetime | None = None) -> DagRun:
        """Runs a DAG to its end. The waits between retries are skipped; ``TaskRun.waits`` has their length.

        Args:
            dag_id: the DAG.
            conf: values of its parameters; JSON.
            logical_date: of the run; without one, the run is like one that was triggered by hand.

        Raises:
            WrongAnswer: the DAG does not exist or cannot run, or the run takes too long. A failed run is a result.
        """
        date = logical_date.isoformat() if logical_date else None
        return DagRun.model_validate(self._ask("run", dag_id=dag_id, conf=dict(conf or {}), logical_date=date))

    def publish(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> list[DagRun]:
        """Emits asset events, lets Airflow decide which DAGs they trigger, and runs these to their end.

        Events that trigger nothing stay in their queue, as in Airflow: a later call may complete a condition.

        Args:
            events: the name of the asset and the event's ``extra``, in order.

        Returns:
            The runs that were triggered.

        Raises:
            WrongAnswer: as ``run``.
        """
        runs = self._ask("publish", events=[(asset, dict(extra)) for asset, extra in events])
        return [DagRun.model_validate(run) for run in runs]

    def deadlines(self, dag_id: str, logical_date: datetime | None, queued_at: datetime) -> tuple[str, list[Deadline]]:
        """Creates a run that never starts; returns its id and its deadlines, the earliest first.

        Every deadline is treated as missed: its callback is called as the triggerer or the executor would.

        Raises:
            WrongAnswer: the DAG does not exist, or takes too long.
        """
        date = logical_date.isoformat() if logical_date else None
        run_id, found = self._ask("deadlines", dag_id=dag_id, logical_date=date, queued_at=queued_at.isoformat())
        return run_id, [Deadline.model_validate(deadline) for deadline in found]

    def _ask(self, request: str, **arguments: Any) -> Any:
        if request in ("run", "publish") and not self._prepared:
            self._send("prepare")
            self._receive(_START_SECONDS)
            self._prepared = True
        self._send(request, **arguments)
        return self._receive(self._seconds)

    def _send(self, request: str, **arguments: Any) -> None:
        try:
            self._connection.sendall(json.dumps({"request": request, **arguments}).encode() + b"\n")
        except OSError:
            raise self._ended() from None

    def _receive(self, seconds: float) -> Any:
        line = self._read_line(seconds)
        if line is None:
            raise WrongAnswer(
                f"{self._file} runs for more than {seconds:.0f} seconds", "look for a loop or a wait without an end"
            )
        if not line:
            raise self._ended()
        reply = Reply.model_validate_json(line)
        if reply.error:
            raise WrongAnswer(f"{self._file}: {reply.error}", reply.hint)
        return reply.result

    def _read_line(self, seconds: float) -> str | None:
        """Returns a line; nothing if the process has ended, and None if it takes longer."""
        self._connection.settimeout(seconds)
        try:
            return self._replies.readline()
        except TimeoutError:
            return None
        except ConnectionError:
            return ""

    def _ended(self) -> WrongAnswer:
        return WrongAnswer(f"{self._file} ends Airflow's process", "raise an error, and do not exit")


@contextmanager
def dag_sandbox(
    attempt: Attempt,
    file: str,
    connections: Mapping[str, Connection] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
) -> Iterator[DagSandbox]:
    """Yields an Airflow that sees only the learner's files, and ends it with everything it has started.

    Args:
        attempt: whose files are copied, so that running them changes none.
        file: the DAG file in the attempt's folder.
        connections: Airflow's connections by their id. There are no others.
        environment: variables of its process; none of the platform's settings are inherited.
        seconds: how long each request may take.

    Raises:
        WrongAnswer: the file is missing.
        TransientError: Airflow does not start.
    """
    attempt.read(file)
    with tempfile.TemporaryDirectory(prefix="sluice-check-") as name:
        home = Path(name)
        (home / "work").mkdir()
        shutil.copytree(attempt.folder, home / "dags")
        variables = _environment(home, connections or {}) | dict(environment or {})
        ours, theirs = socket.socketpair()
        with ours, theirs:
            descriptor = theirs.fileno()
            arguments = ["-m", "exercises.grading.dag_worker", file, str(descriptor)]
            with running(arguments, home / "work", home / "log", variables, [descriptor]) as program:
                theirs.close()
                yield DagSandbox(ours, program, file, seconds)


def warehouse_connection(settings: Settings, role: Role, database: str) -> Connection:
    """Returns the Airflow connection of a role to a database of the warehouse's server. It contains the password."""
    server = warehouse_server(settings)
    return {
        "conn_type": "postgres",
        "host": server.host,
        "port": server.port,
        "schema": database,
        "login": server.user(role),
        "password": settings.secret(server.secret(role)),
        "extra": server.tls,
    }


def _environment(home: Path, connections: Mapping[str, Connection]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SLUICE_"))}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Without the platform's passwords.
        "SLUICE_ENV_FILE": os.devnull,
        # A proxy cannot reach what a grader serves on this machine.
        "no_proxy": "*",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(_PARSE_SECONDS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",
        **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(dict(fields)) for name, fields in connections.items()},
    }
