"""A learner's program is ended with its children, and its error is one line that names the learner's own code."""

import sys
from pathlib import Path

import psutil
import pytest

from exercises.grading.attempt import WrongAnswer
from exercises.grading.programs import last_error, run_program, running
from tests.fixtures.waiting import wait


def run(tmp_path: Path, text: str, seconds: float = 60.0) -> object:
    folder = tmp_path / "answer"
    folder.mkdir()
    (folder / "program.py").write_text(text)
    result = tmp_path / "result.json"
    return run_program([str(folder / "program.py"), str(result)], folder, result, seconds, "program.py")


def test_a_program_has_a_result_and_none_of_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_POSTGRES_PASSWORD", "secret")
    text = "import os, sys, pathlib\npathlib.Path(sys.argv[1]).write_text(str(sum('SLUICE' in n for n in os.environ)))"
    assert run(tmp_path, text) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def f():\n    raise KeyError('a')\ntry:\n    1 / 0\nexcept ArithmeticError:\n    f()",
            "line 2: KeyError: 'a'",
        ),
        ("x = (", "program.py, line 1: SyntaxError: '(' was never closed"),
        ("import json\njson.loads('{')", "program.py, line 2: json.decoder.JSONDecodeError: Expecting property name"),
        ("raise SystemExit('too bad')", "program.py fails: too bad"),
        ("pass", "program.py fails: it ends without any output"),
        ("import os\nos.kill(os.getpid(), 9)", "program.py fails: it ends without any output"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WrongAnswer) as caught:
        run(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(tmp_path) not in str(caught.value)


def test_an_error_in_a_library_is_named_with_the_line_that_called_it() -> None:
    output = (
        'Traceback (most recent call last):\n  File "/a/consumer.py", line 7, in run\n    x()\n'
        '  File "/lib/x.py", line 99, in x\n    y()\nlib.NotThere: gone\n'
    )
    assert last_error(output, Path("/a")) == "consumer.py, line 7: lib.NotThere: gone"


def test_an_endless_program_is_killed_with_its_children(tmp_path: Path) -> None:
    child = f"import subprocess\nsubprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)'])\n"
    with pytest.raises(WrongAnswer, match="runs for more than 2 seconds"):
        run(tmp_path, child + "while True:\n    pass", seconds=2)
    wait("no process is left", lambda: not psutil.Process().children(recursive=True), seconds=10)


def test_a_program_that_has_ended_leaves_no_children_either(tmp_path: Path) -> None:
    child = [sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path)]
    (tmp_path / "program.py").write_text(f"import subprocess\nsubprocess.Popen({child})")
    with running([str(tmp_path / "program.py")], tmp_path, tmp_path / "log") as program:
        assert program.wait(60)

    def commands() -> list[list[str]]:
        return [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]

    wait("no process is left", lambda: not any(str(tmp_path) in command for command in commands()), seconds=10)
