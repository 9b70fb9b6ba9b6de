"""The question of `make up` about marts that no model builds any more."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import app, removed_marts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import ROOT, Settings
from sluice.transform.removed import warning

QUESTION = "No model builds marts.old, marts.older any more. Drop? [y/N]: "
DROPPED = "dropped marts.old, marts.older\n"
Answer = Callable[[bytes], None]


class Warehouse:
    """Marts that no model builds, and what became of them."""

    def __init__(self) -> None:
        self.removed: list[str] | SluiceError = ["old", "older"]
        self.errors: dict[str, SluiceError] = {}
        self.dropped: list[str] = []

    def find_removed(self, *_: object, **__: object) -> list[str]:
        if isinstance(self.removed, SluiceError):
            raise self.removed
        return self.removed

    def drop_marts(self, _: Settings, names: Iterable[str], **__: object) -> dict[str, SluiceError]:
        self.dropped += names
        return self.errors


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Warehouse:
    """A warehouse with two of them; a launch finds it, and standard input is not a terminal."""
    made = Warehouse()
    for name in ("find_removed", "drop_marts"):
        monkeypatch.setattr(f"sluice.transform.removed.{name}", getattr(made, name))
    settings = Settings(home=tmp_path, contracts=ROOT / "contracts")
    monkeypatch.setattr(removed_marts, "load_settings", lambda: settings)
    monkeypatch.setattr("infra.launch.launch.up", lambda *_: print("the platform is up"))
    return made


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Makes standard input a terminal, and types an answer in advance."""
    person, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield lambda keys: os.write(person, keys) and None
    os.close(person)


@pytest.fixture(params=[("up",), ("removed-marts", "--drop")], ids=["make up", "in containers"])
def launch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command that asks, with its output on the screen, and returns what it prints after the launch."""

    def run(*arguments: str, screen: bool = True) -> str:
        monkeypatch.setattr(sys, "argv", ["sluice", *request.param, *arguments])
        monkeypatch.setattr(sys.stdout, "isatty", lambda: screen)
        assert app.run(app.build()) == 0
        return capsys.readouterr().out.removeprefix("the platform is up\n")

    return run


@pytest.mark.parametrize("keys", [b"y\n", b"YES\n", b"maybe\ny\n"])
def test_yes_drops_the_marts_that_the_question_names(
    warehouse: Warehouse, answer: Answer, launch: Callable[..., str], keys: bytes
) -> None:
    answer(keys)
    shown = launch()
    assert shown.startswith(QUESTION)
    assert shown.endswith(DROPPED)
    assert warehouse.dropped == ["old", "older"]


@pytest.mark.parametrize("keys", [b"n\n", b"\n", b"\x04"], ids=["no", "nothing", "Ctrl-D"])
def test_no_keeps_them_and_says_what_readers_see_and_the_launch_has_not_failed(
    warehouse: Warehouse, answer: Answer, launch: Callable[..., str], keys: bytes
) -> None:
    answer(keys)
    shown = launch()
    assert shown.startswith(QUESTION)
    assert shown.endswith(warning(["old", "older"]) + "\n")
    assert warehouse.dropped == []


class InterruptedTerminal(io.StringIO):
    """A terminal at which Ctrl-C is pressed."""

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        raise KeyboardInterrupt


def test_ctrl_c_at_the_question_is_a_no(
    warehouse: Warehouse, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", InterruptedTerminal())
    shown = launch()
    assert shown.startswith(QUESTION)
    assert shown.endswith(warning(["old", "older"]) + "\n")
    assert warehouse.dropped == []


def test_without_a_terminal_nothing_is_asked_and_nothing_dropped(
    warehouse: Warehouse, launch: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pipe that would say yes is not a terminal.
    reading, writing = os.pipe()
    os.write(writing, b"y\n")
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert launch() == warning(["old", "older"]) + "\n"
    assert warehouse.dropped == []


def test_with_the_output_in_a_file_nothing_is_asked_because_nobody_would_see_it(
    warehouse: Warehouse, answer: Answer, launch: Callable[..., str]
) -> None:
    answer(b"y\n")
    assert launch(screen=False) == warning(["old", "older"]) + "\n"
    assert warehouse.dropped == []


def test_force_drops_without_a_question_with_and_without_a_terminal(
    warehouse: Warehouse, launch: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    assert launch("--force") == DROPPED
    request.getfixturevalue("answer")
    assert launch("--force") == DROPPED
    assert warehouse.dropped == ["old", "older"] * 2


def test_a_mart_that_cannot_be_dropped_is_named_and_costs_no_other(
    warehouse: Warehouse, launch: Callable[..., str]
) -> None:
    warehouse.errors = {"old": TerminalError("marts.old was not dropped: a view needs it", "drop the view")}
    shown = launch("--force")
    assert shown == "warning: marts.old was not dropped: a view needs it. Hint: drop the view.\ndropped marts.older\n"


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ([], ""),
        # It names them itself.
        (TransientError("a transform is running", "wait for it to end"), ""),
        (
            TerminalError("the project does not parse", "fix it"),
            "warning: marts without a model are unknown: the project does not parse. Hint: fix it.\n",
        ),
    ],
    ids=["none", "a transform is running", "the project does not parse"],
)
def test_without_marts_to_drop_nothing_is_asked(
    warehouse: Warehouse, launch: Callable[..., str], removed: Any, said: str
) -> None:
    warehouse.removed = removed
    assert launch("--force") == launch() == said
    assert warehouse.dropped == []


@pytest.mark.parametrize(
    ("arguments", "shell", "forces"), [(["FORCE=1"], {}, True), ([], {}, False), ([], {"FORCE": "1"}, False)]
)
def test_make_up_forces_only_what_its_command_line_says(
    arguments: list[str], shell: dict[str, str], forces: bool
) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "up", *arguments],
        cwd=ROOT,
        env=os.environ | shell,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("--force" in shown) == forces
