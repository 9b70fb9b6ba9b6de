"""How far a learner has come: a file beside the answers, no service."""

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from exercises.catalogue import Exercise
from sluice.errors import TerminalError
from sluice.settings import ROOT

ANSWERS = ROOT / "answers"
"""The folder of the learner's files."""


class Record(BaseModel):
    """What a learner has done with one exercise."""

    model_config = ConfigDict(extra="forbid")

    started: datetime
    checks: int = 0
    hints: int = 0
    solution_seen: datetime | None = None
    solved: datetime | None = None
    submitted: dict[str, str] = {}
    """SHA-256 of each file of the answer that passed."""

    def points(self, exercise: Exercise) -> int:
        """Returns the points: all, less one per hint; none if the solution was seen first, or before it is solved."""
        if self.solved is None or (self.solution_seen and self.solution_seen <= self.solved):
            return 0
        return max(exercise.description.points - self.hints, 1)


class Progress(BaseModel):
    """What a learner has done, by the names of exercises."""

    model_config = ConfigDict(extra="forbid")

    exercises: dict[str, Record] = {}

    def latest(self) -> str | None:
        """Returns the name of the exercise that was started last; None before the first."""
        return max(self.exercises, key=lambda name: self.exercises[name].started, default=None)


def read_progress(folder: Path = ANSWERS) -> Progress:
    """Returns the learner's progress; an empty one before the first exercise.

    Raises:
        TerminalError: the file was edited into something else.
    """
    path = folder / "progress.json"
    if not path.exists():
        return Progress()
    try:
        return Progress.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise TerminalError(f"{path} is invalid: {error}", "restore it, or delete it to start from scratch") from error


def write_progress(progress: Progress, folder: Path = ANSWERS) -> None:
    """Replaces the file in one step, so that Ctrl-C leaves the old or the new one."""
    folder.mkdir(exist_ok=True)
    draft = folder / "progress.json.draft"
    draft.write_text(json.dumps(progress.model_dump(mode="json"), indent=2) + "\n")
    draft.replace(folder / "progress.json")


def now() -> datetime:
    """Returns the time, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
