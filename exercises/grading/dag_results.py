"""What a DAG file defines and what its runs did, as values that one process sends to another."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Task(_Value):
    """A task as its DAG file defines it."""

    operator: str
    """The name of the operator's class."""
    mapped: bool
    retries: int
    timeout: float | None
    """The execution timeout in seconds."""
    templated: list[str]
    upstream: list[str]
    inlets: list[str]
    outlets: list[str]
    """The names of assets."""


class Dag(_Value):
    """A DAG as its file defines it."""

    schedule: str
    """A cron expression or Airflow's words for another schedule."""
    assets: list[str]
    """The names of the assets in the schedule."""
    tasks: dict[str, Task]


class TaskRun(_Value):
    """What one task instance did in a run."""

    task: str
    index: int
    """The map index; -1 if the task is not mapped."""
    state: str
    """Airflow's state; ``none`` if the task did not get one."""
    tries: int
    """How often it was executed."""
    waits: list[float]
    """The seconds between the end of a try and the next one. They were skipped, not waited."""
    seconds: list[float]
    """How long each try took."""
    fields: dict[str, Any]
    """The templated fields as rendered."""
    value: Any
    """What it returned."""
    error: str
    """The error of the last try, in one line; empty if it did not fail."""


class DagRun(_Value):
    """A run that has ended."""

    dag: str
    run_id: str
    state: str
    """``success`` or ``failed``."""
    tasks: list[TaskRun]

    def of(self, task: str) -> list[TaskRun]:
        """Returns the instances of one task by their map index."""
        return [instance for instance in self.tasks if instance.task == task]

    @property
    def error(self) -> str:
        """The first error of a task, in one line; empty if none failed."""
        return next((f"{run.task}: {run.error}" for run in self.tasks if run.state == "failed"), "")


class Deadline(_Value):
    """When a run must have ended, and how the callback for a run that has not ends."""

    due: datetime
    error: str
    """Why Airflow records the callback as failed, in one line; empty if it succeeded."""


class Reply(_Value):
    """The answer to one request."""

    result: Any = None
    error: str = ""
    """What is wrong with the DAG file or its use, in one line."""
    hint: str = ""
