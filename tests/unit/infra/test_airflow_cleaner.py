"""What Airflow keeps of runs that are long over goes: what is said of it, and which log files."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.servers import airflow
from infra.servers.airflow_cleaner import clean
from sluice.errors import TransientError

BEFORE = datetime(2026, 3, 1, tzinfo=UTC)


def log(path: Path, day: datetime) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 2048)
    os.utime(path, (day.timestamp(), day.timestamp()))
    return path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """In place of Airflow's command is a script; it notes its arguments in this file."""
    script = (
        "import sys; print(*sys.argv[2:], file=open(sys.argv[1], 'w'))\n"
        "print('\\nChecking table dag_run\\nFound 2900 rows meeting deletion criteria.\\nPerforming Delete...')\n"
        "print('\\nChecking table xcom\\nFound 0 rows meeting deletion criteria.')\n"
    )
    note = tmp_path / "arguments"
    monkeypatch.setattr(airflow, "command", lambda *words: [sys.executable, "-c", script, str(note), *words])
    return note


def test_old_rows_and_old_logs_are_removed_and_counted(told: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old = log(logs / "dag_id=a" / "run_id=1" / "attempt=1.log", datetime(2026, 2, 27, tzinfo=UTC))
    new = log(logs / "dag_id=a" / "run_id=2" / "attempt=1.log", datetime(2026, 3, 2, tzinfo=UTC))
    coming = logs / "dag_id=a" / "run_id=3"
    coming.mkdir()
    said = clean(logs, BEFORE, dict(os.environ))
    assert said == "older than 2026-03-01: rows 2,900 of dag_run; 1 log files, 2 KiB"
    assert "--clean-before-timestamp 2026-03-01T00:00:00+00:00" in told.read_text()
    assert not old.parent.exists()
    assert new.exists()
    assert coming.exists()


def test_all_logs_may_go_but_not_their_folder(told: Path, tmp_path: Path) -> None:
    log(tmp_path / "logs" / "dag_id=a" / "attempt=1.log", datetime(2026, 1, 1, tzinfo=UTC))
    clean(tmp_path / "logs", BEFORE, dict(os.environ))
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_command_that_fails_is_one_line_and_no_log_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = log(tmp_path / "logs" / "attempt=1.log", datetime(2026, 1, 1, tzinfo=UTC))
    script = "import sys; sys.exit('first\\nno connection')"
    monkeypatch.setattr(airflow, "command", lambda *words: [sys.executable, "-c", script])
    with pytest.raises(TransientError, match=r"no connection$"):
        clean(tmp_path / "logs", BEFORE, dict(os.environ))
    assert kept.exists()
