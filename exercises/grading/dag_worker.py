"""The process in which ``exercises.grading.dag_sandbox`` runs a learner's DAG file.

It reads one request per line from a socket and answers each in one line. Whatever the file raises is the answer to the
request. Airflow decides everything as on the platform: what the schedule means, which tasks are ready, whether and when
a task is retried, when a deadline is due. Only waits between retries are skipped, by moving the end of the failed try.
"""

import ast
import asyncio
import json
import re
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import structlog
from airflow import settings
from airflow._shared.timezones.timezone import coerce_datetime
from airflow.assets.manager import asset_manager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.executors.workloads.callback import CallbackDTO
from airflow.jobs.job import Job
from airflow.models import import_all_models
from airflow.models.asset import AssetModel
from airflow.models.base import Base
from airflow.models.callback import TriggererCallback
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun as Run
from airflow.models.deadline import Deadline as Stored
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.sdk.definitions.dag import _run_task
from airflow.sdk.execution_time.supervisor import in_process_api_server
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.callback import CallbackTrigger
from airflow.utils.db import add_default_pool_if_not_exists, synchronize_log_template
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from exercises.grading.dag_results import Dag, DagRun, Deadline, Reply, Task, TaskRun

_BUNDLE = "dags-folder"
"""Airflow's name for the configured folder of DAG files."""
_MESSAGE_LENGTH = 300
_IDLE_SECONDS = 0.2


class WrongFileError(Exception):
    """The DAG file, or a request for it, is wrong: a message and a hint."""


class Worker:
    """The DAGs of one file, and the runs of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._dags: dict[str, DAG] | None = None
        self._stored = False

    def prepare(self) -> None:
        """Does what takes Airflow long, and is not the file's fault: tables, and the API that tasks report to."""
        self._session().close()
        # The first request generates the routes of every version of the API.
        httpx.Client(transport=in_process_api_server().transport).get("http://airflow.invalid/health")

    def dags(self) -> dict[str, Any]:
        """Returns what the file defines."""
        return {name: _describe(dag).model_dump(mode="json") for name, dag in self._parse().items()}

    def run(self, dag_id: str, conf: dict[str, Any], logical_date: str | None) -> Any:
        """Runs a DAG to its end."""
        with self._session() as session:
            dag = self._current(dag_id, session)
            date = datetime.fromisoformat(logical_date) if logical_date else None
            run = self._create(dag, session, date, DagRunState.RUNNING, conf)
            return self._execute(dag, run, session).model_dump(mode="json")

    def publish(self, events: list[tuple[str, dict[str, Any]]]) -> list[Any]:
        """Emits asset events, and runs the DAGs that they trigger."""
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        with self._session() as session:
            for name, extra in events:
                # An asset that no DAG of the file names triggers none of them.
                for asset in session.scalars(select(AssetModel).where(AssetModel.name == name)):
                    asset_manager.register_asset_change(asset=asset, extra=extra, session=session)
                session.commit()
            models, _ = DagModel.dags_needing_dagruns(session)
            job = Job()  # type: ignore[no-untyped-call]
            session.add(job)
            session.flush()
            triggered = [model for model in models if model.asset_expression]
            SchedulerJobRunner(job)._create_dag_runs_asset_triggered(dag_models=triggered, session=session)
            session.commit()
            results = []
            for run in session.scalars(select(Run).where(Run.state == DagRunState.QUEUED).order_by(Run.id)).all():
                run.set_state(DagRunState.RUNNING)
                session.commit()
                dag = self._current(run.dag_id, session)
                results.append(self._execute(dag, run, session).model_dump(mode="json"))
            return results

    def deadlines(self, dag_id: str, logical_date: str | None, queued_at: str) -> tuple[str, list[Any]]:
        """Creates a run, and treats its deadlines as missed."""
        with self._session() as session:
            dag = self._current(dag_id, session)
            date = datetime.fromisoformat(logical_date) if logical_date else None
            run = self._create(dag, session, date, DagRunState.QUEUED, {})
            # Airflow has evaluated the deadlines for a run that is queued now.
            session.execute(delete(Stored).where(Stored.dagrun_id == run.id))
            run.queued_at = datetime.fromisoformat(queued_at)
            session.flush()
            if dag.deadline:
                dag._process_dagrun_deadline_alerts(run, session)
            session.flush()
            stored = session.scalars(
                select(Stored).where(Stored.dagrun_id == run.id).order_by(Stored.deadline_time)
            ).all()
            found = [
                Deadline(due=deadline.deadline_time, error=self._miss(deadline, session)).model_dump(mode="json")
                for deadline in stored
            ]
            session.commit()
            return run.run_id, found

    def _parse(self) -> dict[str, DAG]:
        if self._dags is None:
            folder = self._file.parent
            sys.path.insert(0, str(folder))
            self._bag = BundleDagBag(dag_folder=self._file, bundle_path=folder, bundle_name=_BUNDLE)
            for error in self._bag.import_errors.values():
                raise WrongFileError(f"it does not import: {_import_error(error, self._file.name)}", "correct the line")
            if not self._bag.dags:
                raise WrongFileError(
                    "it defines no DAG",
                    "Airflow finds a DAG in a `with` block or under a name, if the file has the words airflow and DAG",
                )
            self._dags = self._bag.dags
        return self._dags

    def _session(self) -> Session:
        """Returns a session with a database that has the file's DAGs."""
        self._parse()
        assert settings.Session is not None
        session: Session = settings.Session()
        if not self._stored:
            import_all_models()  # type: ignore[no-untyped-call]
            Base.metadata.create_all(settings.engine)
            add_default_pool_if_not_exists()
            synchronize_log_template()
            DagBundlesManager().sync_bundles_to_db(session=session)  # type: ignore[no-untyped-call]
            session.commit()
            sync_bag_to_db(self._bag, _BUNDLE, None)
            session.execute(update(DagModel).values(is_paused=False))
            session.commit()
            self._stored = True
        return session

    def _current(self, dag_id: str, session: Session) -> SerializedDAG:
        stored = SerializedDagModel.get(dag_id, session=session)
        if stored is None:
            raise WrongFileError(f"it does not define the DAG {dag_id}", f"it defines {', '.join(self._parse())}")
        dag: SerializedDAG = stored.dag
        return dag

    def _create(
        self, dag: SerializedDAG, session: Session, date: datetime | None, state: DagRunState, conf: dict[str, Any]
    ) -> Any:
        if date:
            # As `dag.test` does: a date that runs again replaces its run.
            session.execute(delete(Run).where(Run.dag_id == dag.dag_id, Run.logical_date == date))
        run = dag.create_dagrun(
            run_id=f"manual__{token_hex(6)}",
            logical_date=date,
            data_interval=dag.timetable.infer_manual_data_interval(run_after=coerce_datetime(date)) if date else None,
            run_after=date or datetime.now().astimezone(),
            conf=conf,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=state,
            session=session,
        )
        session.commit()
        return run

    def _execute(self, dag: SerializedDAG, run: Any, session: Session) -> DagRun:
        """Runs what is ready until the run has ended, as ``dag.test`` does, but without the waits between retries."""
        tasks = self._parse()[run.dag_id].task_dict
        run.dag = dag
        waits: dict[tuple[str, int], list[float]] = defaultdict(list)
        seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
        errors: dict[tuple[str, int], str] = {}
        while run.state == DagRunState.RUNNING:
            session.expire_all()
            ready, _ = run.update_state(session=session)
            for instance in ready:
                instance.try_number += 1
                instance.state = TaskInstanceState.SCHEDULED
            session.commit()
            for instance in ready:
                place = instance.task_id, instance.map_index
                begin = time.monotonic()
                result = _run_task(ti=instance, task=tasks[instance.task_id], run_triggerer=True)
                seconds[place].append(time.monotonic() - begin)
                errors[place] = _one_line(result.error) if result and result.error else ""
            session.commit()
            session.expire_all()
            for instance in run.get_task_instances(state=[TaskInstanceState.UP_FOR_RETRY], session=session):
                instance.task = dag.get_task(instance.task_id)
                place = instance.task_id, instance.map_index
                if len(waits[place]) < len(seconds[place]):
                    wait = instance.next_retry_datetime() - instance.end_date
                    waits[place].append(wait.total_seconds())
                    instance.end_date -= wait + timedelta(seconds=1)
            session.commit()
            if not ready and run.state == DagRunState.RUNNING:
                time.sleep(_IDLE_SECONDS)
        rows = select(TaskInstance).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
        instances = session.scalars(rows.order_by(TaskInstance.task_id, TaskInstance.map_index)).all()
        found = []
        for instance in instances:
            place = instance.task_id, instance.map_index
            key = run.dag_id, instance.task_id, run.run_id, instance.map_index
            rendered = session.get(RenderedTaskInstanceFields, key)
            found.append(
                TaskRun(
                    task=instance.task_id,
                    index=instance.map_index,
                    state=str(instance.state or "none"),
                    tries=len(seconds[place]),
                    waits=waits[place],
                    seconds=seconds[place],
                    fields=rendered.rendered_fields if rendered else {},
                    value=_returned(instance, session),
                    error=errors.get(place, ""),
                )
            )
        return DagRun(dag=run.dag_id, run_id=run.run_id, state=str(run.state), tasks=found)

    def _miss(self, deadline: Any, session: Session) -> str:
        """Calls the callback of a missed deadline where Airflow would; returns why it fails, in one line."""
        from airflow.sdk.execution_time.callback_supervisor import execute_callback

        deadline.handle_miss(session)
        if isinstance(deadline.callback, TriggererCallback):
            # The triggerer has not imported the DAG file.
            for name in [name for name in sys.modules if name.startswith("unusual_prefix_")]:
                del sys.modules[name]
            data = deadline.callback.data
            return asyncio.run(_last_event(CallbackTrigger(data["path"], dict(data["kwargs"]))))
        # As the executor receives it: JSON.
        data = CallbackDTO.model_validate(deadline.callback, from_attributes=True).model_dump(mode="json")["data"]
        log = structlog.get_logger("callback")
        path, kwargs = data["path"], data["kwargs"]
        _, error = execute_callback(path, kwargs, Path(self._file.name), self._file.parent, log)
        return _shorten(error or "")


def _describe(dag: DAG) -> Dag:
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    return Dag(
        schedule=timetable.summary,
        assets=sorted({asset.name for _, asset in timetable.asset_condition.iter_assets()}),
        tasks={
            task.task_id: Task(
                operator=task.task_type,
                mapped=task.is_mapped,
                retries=task.retries or 0,
                timeout=task.execution_timeout.total_seconds() if task.execution_timeout else None,
                templated=list(task.template_fields),
                upstream=sorted(task.upstream_task_ids),
                inlets=[asset.name for asset in task.inlets if hasattr(asset, "name")],
                outlets=[asset.name for asset in task.outlets if hasattr(asset, "name")],
            )
            for task in dag.tasks
        },
    )


def _returned(instance: Any, session: Session) -> Any:
    row = session.scalars(
        XComModel.get_many(
            run_id=instance.run_id,
            key="return_value",
            task_ids=instance.task_id,
            dag_ids=instance.dag_id,
            map_indexes=instance.map_index,
        )
    ).first()
    return XComModel.deserialize_value(row) if row else None


async def _last_event(trigger: Any) -> str:
    payload: dict[str, Any] = {}
    async for event in trigger.run():
        payload = event.payload
    if str(payload["state"]) != "failed":
        return ""
    # A message, and the lines of a traceback as a list.
    message, _, lines = str(payload["body"]).partition(": [")
    return _shorten(f"{message}: {ast.literal_eval(f'[{lines}')[-1]}")


def _import_error(text: str, file: str) -> str:
    """Returns the error at the end of a traceback, with the file's own last line number in it."""
    # Its message may have several lines.
    lines = re.findall(r"^\w[\w.]*: .*", text, re.MULTILINE) or text.splitlines()
    numbers = re.findall(rf'{re.escape(file)}", line (\d+)', text)
    return _shorten(lines[-1]) + (f" (line {numbers[-1]})" if numbers else "")


def _one_line(error: BaseException) -> str:
    return _shorten(f"{type(error).__name__}: {error}")


def _shorten(text: str) -> str:
    return " ".join(text.replace(f"{settings.DAGS_FOLDER}/", "").split())[:_MESSAGE_LENGTH]


def _answer(requests: dict[str, Callable[..., Any]], line: str) -> Reply:
    arguments = json.loads(line)
    try:
        return Reply(result=requests[arguments.pop("request")](**arguments))
    except WrongFileError as error:
        message, hint = error.args
        return Reply(error=message, hint=hint)
    except Exception as error:  # noqa: BLE001 - Airflow raises any class for a DAG that it cannot store or run
        structlog.get_logger("worker").exception("the request failed")
        return Reply(error=_one_line(error), hint="Airflow cannot use what the file defines")


def main(file: str, descriptor: int) -> None:
    """Answers requests until the socket is closed."""
    worker = Worker(Path(settings.DAGS_FOLDER) / file)
    requests = {name: getattr(worker, name) for name in ("prepare", "dags", "run", "publish", "deadlines")}
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rw", encoding="utf-8") as stream:
        stream.write(Reply(result="ready").model_dump_json() + "\n")
        stream.flush()
        for line in stream:
            stream.write(_answer(requests, line).model_dump_json() + "\n")
            stream.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
