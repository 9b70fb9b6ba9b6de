"""Spark's program as a process: its output, its log, and its failures as errors."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lakehouse import process
from sluice.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {"spark_secret": SecretStr("a"), "lakehouse_password": SecretStr("b")}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


def _program(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(process, "SPARK_PYTHON", program)


def test_output_is_told_from_the_log_and_the_program_has_the_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    script = 'echo "WARNING: Using incubator modules: x"; echo "a line" >&2; echo "> $3 $SLUICE_LAKEHOUSE_PASSWORD"'
    _program(monkeypatch, tmp_path, script)
    log: list[str] = []
    assert list(process.run("load", settings=settings, log_line=log.append)) == ["load b"]
    assert log == ["a line"]


@pytest.mark.parametrize(
    ("script", "kind", "message", "hint"),
    [
        ('echo "lakehouse: down. Hint: wait"; exit 75', TransientError, "Spark: down", "wait"),
        ('echo "lakehouse: wrong. Hint: correct it"; exit 1', TerminalError, "Spark: wrong", "correct it"),
        ("kill -9 $$", TransientError, "Spark: exit code -9", "see the lines above"),
    ],
)
def test_a_failure_is_the_error_that_the_program_reported(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
    script: str,
    kind: type[SluiceError],
    message: str,
    hint: str,
) -> None:
    _program(monkeypatch, tmp_path, script)
    with pytest.raises(kind) as raised:
        list(process.run("load", settings=settings, log_line=lambda line: None))
    assert (raised.value.args[0], raised.value.hint) == (message, hint)


def test_a_spark_that_is_not_installed_is_one_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    monkeypatch.setattr(process, "SPARK_PYTHON", tmp_path / "missing")
    with pytest.raises(TerminalError, match="Spark does not start") as raised:
        list(process.run("load", settings=settings))
    assert "make up ENGINE=spark" in raised.value.hint
