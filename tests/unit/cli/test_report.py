"""The command that writes and verifies reports."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli import app
from sluice.errors import TerminalError
from tests.fixtures.toy_exercises import toy_exercises


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a learner who has solved the first exercise."""
    toy_exercises(tmp_path / "exercises", monkeypatch)
    monkeypatch.setenv("SLUICE_ENV_FILE", "/dev/null")
    monkeypatch.setenv("SLUICE_ANSWERS", str(tmp_path / "answers"))
    run(monkeypatch, "learn", "1")
    (tmp_path / "answers" / "01-first" / "answer.txt").write_text("right")
    run(monkeypatch, "check", "1")
    return tmp_path / "answers"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", *arguments])
    return app.run(app.build())


def test_a_report_is_written_and_verified_also_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "report", "--name", "Ada Lovelace")
    assert "Ada Lovelace: 10 of 20 points" in capsys.readouterr().out
    assert "<h1>Ada Lovelace</h1>" in (folder / "report.html").read_text()
    submission = tmp_path / "submissions" / "ada"
    shutil.copytree(folder, submission)
    run(monkeypatch, "report", "--check", str(submission / "report.json"))
    printed = capsys.readouterr().out
    assert "Ada Lovelace: 10 of 20 points, written 20" in printed
    assert "the report is as it was written, and the files beside it are those that passed" in printed


def test_an_edited_report_and_an_edited_answer_are_faults(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "report", "--name", "Ada")
    report = folder / "report.json"
    content = json.loads(report.read_text())
    content["results"][0]["points"] = 20
    report.write_text(json.dumps(content))
    (folder / "01-first" / "answer.txt").write_text("left")
    with pytest.raises(TerminalError, match="does not agree with itself or with the files beside it"):
        run(monkeypatch, "report", "--check", str(report))
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fault: ")]
    assert faults == [
        "fault: the report was edited after it was written",
        "fault: 01-first: answer.txt is not the file that passed",
    ]


def test_an_answer_that_was_changed_since_it_passed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "01-first" / "answer.txt").write_text("left")
    run(monkeypatch, "report")
    assert "01-first: answer.txt is not the file that passed: check it again" in capsys.readouterr().out


def test_name_revision_and_changed_graders_are_those_of_git(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    grader = clone / "exercises" / "check.py"
    grader.parent.mkdir(parents=True)
    grader.touch()
    for words in (
        ["init", "--quiet"],
        ["config", "user.name", "Grace"],
        ["config", "user.email", "grace@example.org"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=First"],
    ):
        subprocess.run(["git", *words], cwd=clone, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True).stdout
    grader.write_text("def check(attempt): pass\n")
    monkeypatch.setattr("cli.report.ROOT", clone)
    run(monkeypatch, "report")
    report = json.loads((folder / "report.json").read_text())
    assert (report["learner"], report["revision"]) == ("Grace", head.strip())
    assert report["modified"] == ["exercises/check.py"]


def test_without_git_the_report_is_written_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.report.ROOT", folder)
    monkeypatch.setattr("cli.report.os_user", lambda: "Linus")
    monkeypatch.setattr("cli.report.shell_environment", lambda: {"PATH": "/missing"})
    run(monkeypatch, "report")
    report = json.loads((folder / "report.json").read_text())
    assert (report["learner"], report["revision"], report["modified"]) == ("Linus", "", [])
