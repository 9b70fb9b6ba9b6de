"""The commands of the exercises, with exercises that need no server."""

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import app
from exercises import answers
from exercises.catalogue import Exercise
from exercises.grading.attempt import Attempt
from exercises.progress import read_progress
from sluice.errors import TerminalError
from tests.fixtures.toy_exercises import toy_exercises

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's folder, which does not exist yet."""
    toy_exercises(tmp_path / "exercises", monkeypatch)
    monkeypatch.setenv("SLUICE_ENV_FILE", "/dev/null")
    monkeypatch.setenv("SLUICE_ANSWERS", str(tmp_path / "answers"))
    return tmp_path / "answers"


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs a command and returns its exit code and its output."""

    def run_(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sluice", *arguments])
        capsys.readouterr()
        code = app.run(app.build())
        return code, capsys.readouterr().out

    return run_


def test_from_the_list_to_the_last_exercise(run: Run, folder: Path) -> None:
    code, listed = run("learn")
    assert code == 0
    assert "Ask: questions to the data" in listed
    assert listed.endswith("0 of 20 points\nnext: make learn N=1 (The first)\n")
    assert not folder.exists()
    code, page = run("learn", "1")
    assert (code, page.startswith("# The first\n")) == (0, True)
    assert "Not left" not in page
    assert f"your files: {folder}/01-first\nwhen you are done: make check N=1\n" in page
    assert run("check") == (1, "not yet: the word is missing. Hint: think of it.\n")
    (folder / "01-first" / "answer.txt").write_text("right")
    solved = "solved: The first, 10 of 10 points\ncompare: make solution N=1\nnext: make learn N=2 (The second)\n"
    assert run("check") == (0, solved)
    assert run("check", "first") == (0, solved)
    run("learn", "second")
    (folder / "02-second" / "answer.txt").write_text("right")
    assert run("check")[1].endswith("all exercises are solved; `make report` writes a page of it\n")
    assert "20 of 20 points" in run("learn")[1]
    record = read_progress(folder).exercises["01-first"]
    assert (record.checks, record.submitted) == (3, answers.digests(folder / "01-first"))


def test_hints_cost_points_until_the_exercise_is_solved(run: Run, folder: Path) -> None:
    run("learn", "1")
    assert run("hint")[1] == "**Hint 1 of 2.** Not left.\n\nthis hint costs a point: 9 of 10 are left\n"
    (folder / "01-first" / "answer.txt").write_text("right")
    assert "9 of 10 points" in run("check")[1]
    # All of them, for nothing.
    printed = run("hint")[1]
    assert "Hint 2 of 2" in printed
    assert "costs" not in printed
    assert "9 of 10 points" in run("check")[1]


def test_hints_that_are_used_up_are_shown_again(run: Run, folder: Path) -> None:
    run("learn", "1")
    run("hint")
    second = run("hint")[1]
    assert "8 of 10 are left" in second
    assert run("hint")[1] == second.replace("this hint costs a point: 8 of 10 are left\n", "")
    assert read_progress(folder).exercises["01-first"].hints == 2


def test_after_three_failed_checks_the_hints_are_mentioned(run: Run) -> None:
    run("learn", "1")
    assert ["make hint N=1" in run("check")[1] for _ in range(4)] == [False, False, True, True]


def test_a_solution_ends_the_points_and_asks_first(run: Run, folder: Path) -> None:
    run("learn", "1")
    with pytest.raises(TerminalError, match=r"confirmation required.*make solution N=1 FORCE=1"):
        run("solution")
    assert run("solution", "--force")[1] == "# Solution\n\nIt is not left.\n\n`answer.txt`\n\n```txt\nright\n```\n\n"
    (folder / "01-first" / "answer.txt").write_text("right")
    assert "0 of 10 points" in run("check")[1]
    # It was seen: there is nothing to lose.
    assert run("solution")[0] == 0


def test_a_reset_asks_cleans_and_leaves_other_exercises_alone(run: Run, folder: Path) -> None:
    for number in "21":
        run("learn", number)
    run("hint", "1")
    for name in ("01-first", "02-second"):
        (folder / name / "answer.txt").write_text("mine")
    (folder / "01-first" / "more.txt").touch()
    with pytest.raises(TerminalError, match=r"this deletes your files in .*01-first.*make reset N=1 FORCE=1"):
        run("reset", "--", "1")
    assert (folder / "01-first" / "answer.txt").read_text() == "mine"
    assert run("reset", "--force", "--", "1")[1].startswith("# The first\n")
    assert sorted(path.name for path in (folder / "01-first").iterdir()) == ["answer.txt", "given.txt"]
    assert (folder / "01-first" / "answer.txt").read_text() == ""
    assert (folder / "02-second" / "answer.txt").read_text() == "mine"
    assert (folder / "cleaned-01-first").exists()
    assert read_progress(folder).exercises["01-first"].hints == 1


def test_a_reset_of_an_exercise_that_was_never_started_starts_nothing(run: Run, folder: Path) -> None:
    run("learn", "1")
    with pytest.raises(TerminalError, match=r"nothing to reset: exercise 2 was not started. Hint: `make learn N=2`"):
        run("reset", "--force", "2")
    assert not (folder / "02-second").exists()
    (folder / "01-first" / "answer.txt").write_text("right")
    assert "solved: The first" in run("check")[1]


def test_an_exercise_whose_folder_was_deleted_can_be_reset(run: Run, folder: Path) -> None:
    run("learn", "1")
    shutil.rmtree(folder / "01-first")
    assert run("reset", "1")[0] == 0
    assert (folder / "01-first" / "answer.txt").exists()


def test_a_command_without_a_name_is_about_the_exercise_that_was_named_last(run: Run, folder: Path) -> None:
    for number in "12":
        run("learn", number)
    (folder / "01-first" / "answer.txt").write_text("right")
    assert run("check")[1].startswith("not yet")
    for command in ("check", "hint", "solution"):
        run("learn", "2")
        run(command, "1")
        assert run("check")[1].startswith("solved: The first")


def test_the_list_has_names_and_the_points_that_are_left(run: Run) -> None:
    run("learn", "1")
    run("hint")
    listed = run("learn")[1]
    assert re.search(r"1  The first +a word +0/9 +1 *\n +first *\n", listed)
    assert re.search(r"2  The second +a word +0/10 *\n +second *\n", listed)
    run("solution", "--force")
    assert re.search(r"1  The first +a word +0/0 +1 *\n", run("learn")[1])


def test_after_an_exercise_the_next_one_of_the_list_follows(run: Run, folder: Path) -> None:
    for number in "21":
        run("learn", number)
    (folder / "02-second" / "answer.txt").write_text("right")
    # None is left behind it: the first that is not solved.
    assert run("check", "2")[1].endswith("next: make learn N=1 (The first)\n")


@pytest.mark.parametrize(
    ("command", "answer", "code"),
    [(["learn"], "", 0), (["learn", "1"], "", 0), (["check"], "right", 0), (["check"], "", 1)],
)
def test_a_closed_pipe_leaves_the_exit_code_as_it_is(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], answer: str, code: int
) -> None:
    run("learn", "1")
    (folder / "01-first" / "answer.txt").write_text(answer)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        patch.setattr(sys, "argv", ["sluice", *command])
        assert app.run(app.build()) == code


def test_a_long_check_prints_its_steps(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def graded(exercise: Exercise, attempt: Attempt) -> None:
        attempt.tell("looking at the word")

    run("learn", "1")
    with monkeypatch.context() as patch:
        patch.setattr(Exercise, "check", graded)
        assert run("check")[1].startswith("checking: looking at the word\nsolved: The first")
        patch.setenv("FORCE_COLOR", "1")
        assert "checking: looking" not in run("check")[1]


@pytest.mark.parametrize("command", ["learn", "reset"])
def test_deleted_files_come_back(run: Run, folder: Path, command: str) -> None:
    run("learn", "1")
    for path in (folder / "01-first").iterdir():
        path.unlink()
    assert run("check") == (1, "not yet: answer.txt is missing. Hint: `make learn N=1` brings the template back.\n")
    assert run(command, "1")[0] == 0
    assert (folder / "01-first" / "answer.txt").exists()


def test_a_file_that_comes_back_changes_no_other(run: Run, folder: Path) -> None:
    run("learn", "1")
    (folder / "01-first" / "answer.txt").write_text("mine")
    (folder / "01-first" / "given.txt").unlink()
    run("learn", "1")
    assert (folder / "01-first" / "answer.txt").read_text() == "mine"
    assert (folder / "01-first" / "given.txt").exists()


def test_ctrl_c_in_a_check_is_one_line_and_no_check(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    run("learn", "1")
    with monkeypatch.context() as patch:
        patch.setattr(Exercise, "check", interrupt)
        patch.setattr(sys, "argv", ["sluice", "check"])
        assert app.run(app.build()) == 130
    assert capsys.readouterr().err == "sluice: interrupted: the answer was not graded. Hint: check again\n"
    assert read_progress(folder).exercises["01-first"].checks == 0


def test_a_deleted_folder_is_one_line_and_comes_back(run: Run, folder: Path) -> None:
    run("learn", "1")
    run("hint")
    for path in (folder / "01-first").iterdir():
        path.unlink()
    (folder / "01-first").rmdir()
    for command in ("check", "hint", "solution"):
        with pytest.raises(TerminalError, match=r"there is no .*01-first. Hint: `make learn N=1` starts the exercise"):
            run(command)
    run("learn", "1")
    assert read_progress(folder).exercises["01-first"].hints == 1
    assert run("check")[0] == 1


def test_answers_without_progress_can_be_checked(run: Run, folder: Path) -> None:
    run("learn", "1")
    (folder / "progress.json").unlink()
    with pytest.raises(TerminalError, match="no exercise was started yet"):
        run("check")
    assert run("check", "1")[0] == 1
    assert read_progress(folder).exercises["01-first"].checks == 1


@pytest.mark.parametrize("arguments", [["learn"], ["learn", "1"], ["check"], ["hint", "1"], ["reset", "--force", "1"]])
def test_an_edited_progress_file_stops_a_command_before_it_changes_anything(
    run: Run, folder: Path, arguments: list[str]
) -> None:
    run("learn", "1")
    (folder / "01-first" / "answer.txt").write_text("mine")
    (folder / "progress.json").write_text("{")
    with pytest.raises(TerminalError, match=r"progress\.json is invalid"):
        run(*arguments)
    assert (folder / "01-first" / "answer.txt").read_text() == "mine"
    assert (folder / "progress.json").read_text() == "{"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learn", "--", "3"], "there is no exercise '3'. Hint: write a number from 1 to 2"),
        (["check", "--", "-1"], "there is no exercise '-1'"),
        (["check", "firsts"], "there is no exercise 'firsts'. Hint: write first"),
        (["check", "2"], "there is no "),
        (["reset", "--", ""], "N is missing. Hint: for example `make reset N=1`"),
    ],
)
def test_a_wrong_number_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    with pytest.raises(TerminalError) as error:
        run(*arguments)
    assert str(error.value).startswith(message)


def test_a_file_that_is_saved_during_the_check_does_not_count(run: Run, folder: Path) -> None:
    run("learn", "1")
    (folder / "01-first" / "answer.txt").write_text("save")
    assert run("check") == (1, "not yet: a file was saved during the check. Hint: check again.\n")
    assert read_progress(folder).exercises["01-first"].solved is None
    assert run("check")[0] == 0


def test_watching_checks_again_until_the_answer_passes(run: Run, folder: Path) -> None:
    run("learn", "1")
    words = threading.Thread(target=save_words, args=(folder,))
    words.start()
    code, printed = run("check", "--watch")
    words.join()
    assert code == 0
    assert [line for line in printed.splitlines() if line.startswith(("not yet", "solved"))] == [
        "not yet: the word is missing. Hint: think of it.",
        "not yet: the word is left. Hint: think of it.",
        "solved: The first, 10 of 10 points",
    ]


def save_words(folder: Path) -> None:
    for number, word in enumerate(("left", "right"), start=1):
        while read_progress(folder).exercises["01-first"].checks < number:
            time.sleep(0.01)
        file = folder / "01-first" / "answer.txt"
        # As an editor saves: a backup, and the new content in one step.
        backup = file.with_suffix(".txt~")
        backup.write_text("backup")
        draft = file.with_name(".answer.txt.swp")
        draft.write_text(word)
        draft.replace(file)


def test_ctrl_c_during_the_start_leaves_no_half_of_a_file(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(source: Path, target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", interrupted)
        assert run("learn", "1")[0] == 130
    assert not (folder / "01-first" / "answer.txt").exists()
    run("learn", "1")
    assert sorted(path.name for path in folder.iterdir()) == ["01-first", "progress.json"]
    assert sorted(path.name for path in (folder / "01-first").iterdir()) == ["answer.txt", "given.txt"]


def test_a_terminal_gets_colours_and_a_file_plain_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("learn", "1")
    for command in (["learn"], ["learn", "1"], ["check"], ["hint"]):
        assert "\x1b" not in run(*command)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31mnot yet: \x1b[0m" in run("check")[1]
    assert "docs/concepts/grain.md" in run("learn", "1")[1]
    assert "━" in run("learn")[1]


def test_an_exercise_whose_server_is_down_is_one_line(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("learn", "1")

    def down(exercise: Exercise, attempt: object) -> None:
        raise TerminalError("the platform is down", "run `make up`")

    monkeypatch.setattr(Exercise, "check", down)
    with pytest.raises(TerminalError, match="the platform is down"):
        run("check")
    assert read_progress(folder).exercises["01-first"].checks == 0
