"""How far a learner has come: a file beside the answers, no service."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from exercises.catalogue import Exercise
from sluice.errors import TerminalError

FILE = "progress.json"


def now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


class Record(BaseModel):
    """What a learner has done with one exercise."""

    model_config = ConfigDict(extra="forbid")

    started: AwareDatetime = Field(default_factory=now)
    opened: AwareDatetime = Field(default_factory=now)
    """When the learner last named it, or asked for its page."""
    checks: NonNegativeInt = 0
    hints: NonNegativeInt = 0
    solution_seen: AwareDatetime | None = None
    solved: AwareDatetime | None = None
    submitted: dict[str, str] = {}
    """SHA-256 of each file of the answer that passed last."""

    def points(self, exercise: Exercise) -> int:
        """Returns the points: all, less one per hint; none if the solution was seen first, or before it is solved."""
        return self.reachable(exercise) if self.solved else 0

    def reachable(self, exercise: Exercise) -> int:
        """Returns the points that it gives once it is solved, or has given."""
        if self.solution_seen and (self.solved is None or self.solution_seen <= self.solved):
            return 0
        return max(exercise.description.points - self.hints, 1)


class Progress(BaseModel):
    """What a learner has done, by the names of exercises."""

    model_config = ConfigDict(extra="forbid")

    exercises: dict[str, Record] = {}

    def record(self, exercise: Exercise) -> Record:
        """Returns the record of an exercise, which begins now if there is none."""
        return self.exercises.setdefault(exercise.name, Record())

    def points(self, exercise: Exercise) -> int:
        """Returns the points of an exercise."""
        record = self.exercises.get(exercise.name)
        return record.points(exercise) if record else 0

    def reachable(self, exercise: Exercise) -> int:
        """Returns the points that an exercise gives once it is solved; for a solved one, those that it has."""
        record = self.exercises.get(exercise.name)
        return record.reachable(exercise) if record else exercise.description.points

    def solved(self, exercise: Exercise) -> bool:
        """Returns whether an answer to the exercise has passed."""
        record = self.exercises.get(exercise.name)
        return record is not None and record.solved is not None

    def latest(self, exercises: list[Exercise]) -> Exercise | None:
        """Returns the exercise that was named last; None before the first."""
        opened = [exercise for exercise in exercises if exercise.name in self.exercises]
        return max(opened, key=lambda exercise: self.exercises[exercise.name].opened, default=None)


def read_progress(folder: Path) -> Progress:
    """Returns the progress that a folder of answers has; an empty one before the first exercise.

    Raises:
        TerminalError: the file was edited into something else, or cannot be read.
    """
    path = folder / FILE
    try:
        return Progress.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Progress()
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        raise TerminalError(
            f"{path} is invalid: {place}{': ' if place else ''}{details['msg']}",
            "restore it, or delete it, which loses the points and keeps the answers",
        ) from None
    except OSError as error:
        raise TerminalError(f"{path} cannot be read: {error.strerror}", "make it readable") from error


@contextmanager
def changed_progress(folder: Path) -> Iterator[Progress]:
    """Yields the progress to be changed, and then replaces the file in one step: Ctrl-C leaves the old or the new one.

    Raises:
        TerminalError: the file is invalid, or cannot be written.
    """
    progress = read_progress(folder)
    yield progress
    draft = folder / f".{FILE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(progress.model_dump(mode="json"), indent=2) + "\n")
        draft.replace(folder / FILE)
    except OSError as error:
        raise TerminalError(
            f"{folder / FILE} cannot be written: {error.strerror}", "make its folder writable"
        ) from error
