"""Each exercise on a complete platform, as a learner and its author meet it.

One test covers one exercise, so that what its start makes is made once: `pytest tests/exercises -k 06`. Its checks run
two at a time, as those of two learners may.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from exercises import answers
from exercises.answers import digests
from exercises.catalogue import Exercise, load_program, read_exercises
from exercises.grading.attempt import Attempt, WrongAnswer
from tests.exercises.traces import adopted_orphans, traces
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

CHECKS_AT_ONCE = 2
QUICK = ("01-late-airlines", "02-one-event", "03-late-events", "09-two-numbers")
"""Those that `make test-all` runs: their checks take seconds. The others run in `make test-exercises`."""
LONG_LINE = 30
"""Characters from which a line of a solution is not in everybody's answer."""


@dataclass(frozen=True)
class Graded:
    """The result of a check."""

    name: str
    message: str | None
    """None if the answer passed."""
    hint: str
    seconds: float


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all temporary files during the test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file of another exercise of the learner's."""
    file = tmp_path / "answers" / "00-other" / "answer.sql"
    file.parent.mkdir(parents=True)
    file.write_text("select 1\n")
    return file


@pytest.fixture
def clean_after(platform: Running, tmp_path: Path) -> Iterator[Callable[[Exercise], Attempt]]:
    """Returns a function that makes the learner's attempt, whose traces are removed even if the test fails."""
    made: list[tuple[Exercise, Attempt]] = []

    def attempt(exercise: Exercise) -> Attempt:
        made.append((exercise, Attempt(platform.settings, tmp_path / "answers" / exercise.name, exercise.solution)))
        return made[-1][1]

    yield attempt
    for exercise, one in made:
        if one.folder.exists():
            exercise.clean(one)


@pytest.fixture(autouse=True)
def orphans() -> Iterator[None]:
    with adopted_orphans():
        yield


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "exercise",
    [
        pytest.param(exercise, id=exercise.name, marks=[] if exercise.name in QUICK else [pytest.mark.thorough])
        for exercise in read_exercises()
    ],
)
def test_exercise(
    platform: Running,
    exercise: Exercise,
    clean_after: Callable[[Exercise], Attempt],
    other: Path,
    temporary: Path,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    before = traces(platform.settings, temporary)
    attempt = clean_after(exercise)
    started_at = time.monotonic()
    answers.start(exercise, attempt)
    say(f"start {time.monotonic() - started_at:.1f} s")
    started = digests(attempt.folder)
    assert started, "an attempt starts with at least one file"
    prepared = traces(platform.settings, temporary)

    # Starting again changes nothing of the learner's.
    answers.start(exercise, attempt)
    assert digests(attempt.folder) == started

    # The start and the wrong answers fail, each with its message.
    wrong = sorted(path for path in (exercise.folder / "wrong").iterdir() if path.is_dir())
    assert len(wrong) >= 2
    attempts = [copied(attempt, tmp_path / "start")]
    for path in wrong:
        attempts.append(copied(attempt, tmp_path / "wrong" / path.name))
        apply(path, attempts[-1])
    graded = at_once(exercise, attempts, ["start", *(path.name for path in wrong)], say)
    faults = []
    for path, result in zip([None, *wrong], graded, strict=True):
        expected = (path / "message.txt").read_text().strip() if path else ""
        if result.message is None:
            faults.append(f"{result.name} passed")
        elif expected not in result.message:
            faults.append(f"{result.name} got {result.message!r}, which lacks {expected!r}")
        else:
            faults += [
                f"{result.name} got {result.message!r}, which {fault}"
                for fault in message_faults(exercise, result, path)
            ]
    assert faults == []

    # The solution passes twice, and starting again leaves it alone.
    apply(exercise.solution, attempt)
    solved = digests(attempt.folder)
    assert [result.message for result in at_once(exercise, [attempt] * 2, ["solution"] * 2, say)] == [None, None]
    answers.start(exercise, attempt)
    assert digests(attempt.folder) == solved
    wait_for_traces(platform, temporary, prepared)

    # A reset restores the start, and changes nothing of other exercises.
    answers.reset(exercise, attempt)
    restored, template = digests(attempt.folder), digests(exercise.template)
    assert restored.keys() == started.keys()
    # What the start itself writes may differ each time, such as an event that it picks.
    assert {name for name in template if restored[name] != started[name]} <= {
        name for name in template if started[name] != template[name]
    }
    assert other.read_text() == "select 1\n"
    assert {path.name for path in (tmp_path / "answers").iterdir()} == {exercise.name, other.parent.name}

    # A learner who has deleted files gets them back as well.
    lost = copied(attempt, tmp_path / "lost")
    for path in attempt.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert check(exercise, attempt, "deleted files").message is not None
    answers.reset(exercise, attempt)
    assert digests(attempt.folder).keys() == started.keys()

    for one in (lost, attempt, attempt):
        exercise.clean(one)
    wait_for_traces(platform, temporary, before, all_there=False)


def copied(attempt: Attempt, folder: Path) -> Attempt:
    """Returns another attempt with the same files."""
    return Attempt(attempt.settings, shutil.copytree(attempt.folder, folder / attempt.folder.name), attempt.reference)


def apply(source: Path, attempt: Attempt) -> None:
    """Puts the files of a solution or of a wrong answer in the place of the learner's, or lets its program do it."""
    shutil.copytree(
        source,
        attempt.folder,
        ignore=lambda folder, names: [
            *(("README.md", "message.txt", "solve.py") if Path(folder) == source else ()),
            *(name for name in names if name == "__pycache__"),
        ],
        dirs_exist_ok=True,
    )
    if (program := source / "solve.py").exists():
        load_program(program).solve(attempt)


def at_once(exercise: Exercise, attempts: list[Attempt], names: list[str], say: Callable[[str], None]) -> list[Graded]:
    """Checks several attempts, two at a time."""
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        graded = list(pool.map(lambda attempt, name: check(exercise, attempt, name), attempts, names))
    for result in graded:
        say(f"{result.name} {result.seconds:.1f} s: {result.message or 'solved'}")
    return graded


def check(exercise: Exercise, attempt: Attempt, name: str) -> Graded:
    """Grades an attempt, and makes sure that this changes no file, not even a hidden one."""
    before = everything(attempt.folder)
    message, hint, started = None, "", time.monotonic()
    try:
        exercise.check(attempt)
    except WrongAnswer as error:
        message, hint = str(error), error.hint
    seconds = time.monotonic() - started
    assert everything(attempt.folder) == before, f"the check of {name} changed files"
    return Graded(name, message, hint, seconds)


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def message_faults(exercise: Exercise, result: Graded, answer: Path | None) -> Iterator[str]:
    """Yields what is wrong with the message of a wrong answer."""
    assert result.message is not None
    if not result.message.isprintable():
        yield "is more than one printable line"
    if "Traceback" in result.message:
        yield "has a traceback"
    if not result.hint:
        yield "has no hint"
    own = {line for path in lines_of(answer or exercise.template) for line in path}
    for line in (line for path in lines_of(exercise.solution) for line in path):
        if len(line) >= LONG_LINE and line not in own and line in result.message:
            yield f"shows a line of the solution: {line}"


def lines_of(folder: Path) -> Iterator[list[str]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield [line.strip() for line in path.read_text().splitlines()]


def wait_for_traces(platform: Running, temporary: Path, expected: set[str], all_there: bool = True) -> None:
    """Waits a moment for servers that delete in the background.

    Args:
        platform: the platform.
        temporary: the folder of temporary files.
        expected: the traces that there may be.
        all_there: whether each of them must still be there. A running platform may have had the exercise started.
    """

    def differences() -> list[str]:
        found = traces(platform.settings, temporary)
        missing = sorted(expected - found) if all_there else []
        return [f"left: {trace}" for trace in sorted(found - expected)] + [f"gone: {trace}" for trace in missing]

    wait("no traces are left", lambda: not differences(), seconds=20, every=1, detail=lambda: "\n".join(differences()))
