"""Airflow's records of old runs are removed: what is logged, and which log files are deleted."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.servers import airflow
from infra.servers.airflow_cleaner import clean
from sluice.errors import TransientError

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)


def write_log(path: Path, day: datetime) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 2048)
    os.utime(path, (day.timestamp(), day.timestamp()))
    return path


@pytest.fixture
def recorded_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Replaces Airflow's command by a script that writes its arguments to the returned file."""
    script = (
        "import sys; print(*sys.argv[2:], file=open(sys.argv[1], 'w'))\n"
        "print('\\nChecking table dag_run\\nFound 2900 rows meeting deletion criteria.\\nPerforming Delete...')\n"
        "print('\\nChecking table xcom\\nFound 0 rows meeting deletion criteria.')\n"
    )
    arguments = tmp_path / "arguments"
    monkeypatch.setattr(airflow, "command", lambda *words: [sys.executable, "-c", script, str(arguments), *words])
    return arguments


def test_old_rows_and_old_logs_are_removed_and_counted(recorded_arguments: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old = write_log(logs / "dag_id=a" / "run_id=1" / "attempt=1.log", datetime(2026, 2, 27, tzinfo=UTC))
    new = write_log(logs / "dag_id=a" / "run_id=2" / "attempt=1.log", datetime(2026, 3, 2, tzinfo=UTC))
    not_started = logs / "dag_id=a" / "run_id=3"
    not_started.mkdir()
    line = clean(logs, BEFORE, dict(os.environ))
    assert line == "removed old runs: before=2026-03-01 dag_run=2900 log_files=1 log_kib=2"
    assert "--clean-before-timestamp 2026-03-01T00:00:00+00:00" in recorded_arguments.read_text()
    assert not old.parent.exists()
    assert new.exists()
    assert not_started.exists()


def test_the_log_folder_is_kept_even_when_all_logs_are_removed(recorded_arguments: Path, tmp_path: Path) -> None:
    write_log(tmp_path / "logs" / "dag_id=a" / "attempt=1.log", datetime(2026, 1, 1, tzinfo=UTC))
    clean(tmp_path / "logs", BEFORE, dict(os.environ))
    assert list((tmp_path / "logs").iterdir()) == []


def test_if_the_command_fails_the_error_is_one_line_and_no_log_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = write_log(tmp_path / "logs" / "attempt=1.log", datetime(2026, 1, 1, tzinfo=UTC))
    script = "import sys; sys.exit('first\\nno connection')"
    monkeypatch.setattr(airflow, "command", lambda *words: [sys.executable, "-c", script])
    with pytest.raises(TransientError, match=r"failed: no connection\. Hint: [^\n]+$"):
        clean(tmp_path / "logs", BEFORE, dict(os.environ))
    assert old.exists()
