"""The learner's files: one folder per exercise, which begins as a copy of the exercise's ``answer``."""

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from exercises.catalogue import Exercise
from exercises.grading.attempt import Attempt, WrongAnswer
from sluice.errors import TerminalError

_POLL_SECONDS = 0.3


def start(exercise: Exercise, attempt: Attempt) -> None:
    """Copies the files of the start that are missing, and prepares the servers. Can be repeated.

    Raises:
        SluiceError: a server is down, or the platform lacks data that the exercise needs; or files cannot be written.
    """
    try:
        for path in sorted(exercise.template.rglob("*")):
            target = attempt.folder / path.relative_to(exercise.template)
            if path.is_file() and "__pycache__" not in path.parts and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                # In one step, so that Ctrl-C leaves no half of it.
                draft = target.with_name(f".{target.name}")
                shutil.copyfile(path, draft)
                draft.rename(target)
    except OSError as error:
        raise TerminalError(f"{attempt.folder} cannot be written: {error}", "make its folder writable") from error
    exercise.start(attempt)


def reset(exercise: Exercise, attempt: Attempt) -> None:
    """Deletes the learner's files and what the start has made on the servers, then starts the exercise again.

    Raises:
        SluiceError: a server is down. Nothing was deleted if it was down from the beginning.
    """
    # A learner who has deleted files needs the reset most. What only they named stays on the servers.
    with suppress(WrongAnswer):
        exercise.clean(attempt)
    shutil.rmtree(attempt.folder, ignore_errors=True)
    start(exercise, attempt)


def digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each of the learner's files, by its path in the folder.

    Hidden files, backups of editors and compiled Python are not answers.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not any(part.startswith(".") or part.endswith("~") or part == "__pycache__" for part in name.parts):
            # Folders, files that an editor replaces in this moment, and files that nobody can read.
            with suppress(OSError):
                found[name.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wait_for_change(folder: Path, seen: dict[str, str], *, pause: Callable[[float], None] = time.sleep) -> None:
    """Returns when the files differ from those ``seen``, and stayed the same for one ``pause`` (of given seconds)."""
    previous = seen
    while True:
        pause(_POLL_SECONDS)
        current = digests(folder)
        if current == previous and current != seen:
            return
        previous = current
