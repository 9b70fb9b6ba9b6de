"""A contestant's process and its figures."""

import sys
from pathlib import Path

import pytest

from bench.measure import measure


def test_a_contestant_does_not_compile_its_modules_in_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    module = tmp_path / "measured.py"
    module.write_text("pass\n")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import measured"]

    measure(command, {}, tmp_path / "output.log", None, None)

    assert list((tmp_path / "__pycache__").iterdir())
