"""dbt as a process: its environment, its log and the errors that its failures become."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.errors import TerminalError, TransientError
from sluice.transform.dbt import Dbt

MakeDbt = Callable[..., Dbt]


def result(status: str, message: str = "", node: str = "model.sluice.fct_flights") -> dict[str, str]:
    return {"unique_id": node, "status": status, "message": message}


def test_dbt_gets_its_folders_and_only_the_environment_that_it_needs(
    make_dbt: MakeDbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_LOADER_PASSWORD", "not for dbt")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "not for dbt")
    dbt = make_dbt()
    dbt.run("build", "--vars", "{}")
    assert (dbt.project / "logs" / "arguments").read_text().split()[-4:] == [
        *("--project-dir", str(dbt.project)),
        *("--profiles-dir", str(dbt.project)),
    ]
    environment = dict(line.split("=", 1) for line in (dbt.project / "logs" / "environment").read_text().splitlines())
    assert environment["SLUICE_TRANSFORMER_PASSWORD"] == "s3cret"
    assert environment["SLUICE_POSTGRES_PORT"] == "6543"
    assert Path(environment["DBT_TARGET_PATH"]).is_relative_to(dbt.settings.home)
    assert Path(environment["DBT_LOG_PATH"]).is_relative_to(dbt.settings.home)
    assert "not for dbt" not in environment.values()


@pytest.mark.parametrize("service", ["airflow-worker-2", ""])
def test_dbt_belongs_to_the_service_that_started_it(
    make_dbt: MakeDbt, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setenv("SLUICE_SERVICE", service)
    dbt = make_dbt()
    dbt.run("build")
    lines = (dbt.project / "logs" / "environment").read_text().splitlines()
    assert [line for line in lines if "SERVICE" in line] == ([f"SLUICE_SERVICE={service}"] if service else [])


def test_log_lines_have_no_time_and_empty_lines_are_dropped(make_dbt: MakeDbt, log_lines: list[str]) -> None:
    make_dbt("printf '10:00:00  1 of 2 START\\n10:00:00\\n  detail\\n'").run("build")
    assert log_lines == ["1 of 2 START", "  detail"]


def test_completed_nodes_are_counted(make_dbt: MakeDbt) -> None:
    dbt = make_dbt(results=[result("success"), result("pass"), result("warn"), result("skipped")])
    dbt.run("build")
    assert len(dbt.completed()) == 3


def test_a_failed_model_is_a_terminal_error_of_one_line_with_its_name_and_message(make_dbt: MakeDbt) -> None:
    failed = [result("success"), result("error", "Database Error\n  division by zero"), result("skipped")]
    with pytest.raises(TerminalError) as caught:
        make_dbt("exit 1", failed).run("build")
    message = str(caught.value)
    assert "model.sluice.fct_flights: Database Error division by zero" in message
    assert "\n" not in message


def test_a_failed_test_is_a_terminal_error_and_further_failures_are_counted(make_dbt: MakeDbt) -> None:
    failed = [result("fail", "Got 3 results", "test.sluice.unique_x"), result("fail", "Got 1 result")]
    with pytest.raises(TerminalError, match=r"test\.sluice\.unique_x: Got 3 results; 1 more failed"):
        make_dbt("exit 1", failed).run("build")


@pytest.mark.parametrize(
    "message",
    [
        'connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        "server closed the connection unexpectedly",
        "terminating connection due to administrator command",
        "FATAL:  the database system is starting up",
        "deadlock detected",
        "cannot execute DELETE in a read-only transaction",
        "canceling statement due to lock timeout",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        'could not extend file "base/1/2": No space left on device',
    ],
)
def test_a_lost_connection_to_the_warehouse_is_a_transient_error(make_dbt: MakeDbt, message: str) -> None:
    with pytest.raises(TransientError):
        make_dbt("exit 1", [result("error", "wrong sql"), result("error", f"Database Error\n{message}")]).run("build")
    # Also if dbt exits before the first model.
    with pytest.raises(TransientError):
        make_dbt(f"echo 'Encountered an error:'; echo '{message}'; exit 2").run("build")


def test_a_wrong_password_is_a_terminal_error(make_dbt: MakeDbt) -> None:
    message = 'connection to server at "127.0.0.1" failed: FATAL:  password authentication failed for user "x"'
    with pytest.raises(TerminalError, match="password authentication failed"):
        make_dbt(f"echo 'Encountered an error:'; echo '{message}'; exit 2").run("build")


def test_a_project_that_does_not_parse_is_reported_with_dbts_message(make_dbt: MakeDbt) -> None:
    script = (
        "echo 'Running with dbt'; echo 'Encountered an error:'; echo 'Compilation Error'; echo '  no model x'; exit 2"
    )
    with pytest.raises(TerminalError, match="Encountered an error: Compilation Error no model x"):
        make_dbt(script).run("build")


def test_an_error_does_not_quote_the_results_of_an_earlier_run(make_dbt: MakeDbt) -> None:
    with pytest.raises(TerminalError):
        make_dbt("exit 1", [result("error", "old")]).run("build")
    with pytest.raises(TerminalError) as caught:
        make_dbt("echo new; exit 2").run("build")
    assert "old" not in str(caught.value)


def test_a_missing_dbt_is_reported_with_the_command_that_installs_it(make_dbt: MakeDbt, tmp_path: Path) -> None:
    dbt = make_dbt()
    dbt.executable = tmp_path / "missing"
    with pytest.raises(TerminalError, match="make up"):
        dbt.run("build")


def test_a_stopped_dbt_is_a_transient_error(make_dbt: MakeDbt, log_lines: list[str]) -> None:
    dbt = make_dbt("echo started; exec sleep 60")
    threading.Thread(target=_stop_once_started, args=(log_lines, dbt)).start()
    with pytest.raises(TransientError, match="signal 15"):
        dbt.run("build")


def _stop_once_started(log_lines: list[str], dbt: Dbt) -> None:
    deadline = time.monotonic() + 10
    while not log_lines and time.monotonic() < deadline:
        time.sleep(0.01)
    dbt.stop()


def test_dbt_is_stopped_by_a_time_out(make_dbt: MakeDbt) -> None:
    dbt = make_dbt("echo $$ > logs/pid; echo started; exec sleep 60")

    class TimeUp(BaseException):
        pass

    def time_out(line: str) -> None:
        raise TimeUp

    dbt.log_line = time_out
    with pytest.raises(TimeUp):
        dbt.run("build")
    with pytest.raises(ProcessLookupError):
        os.kill(int((dbt.project / "logs" / "pid").read_text()), signal.SIG_DFL)


def test_the_table_of_a_new_contract_is_named_with_the_command_that_creates_it(make_dbt: MakeDbt) -> None:
    message = 'Database Error in model stg_a relation "raw.quakes_reported" does not exist LINE 3: from "w"."raw"."q"'
    dbt = make_dbt("exit 1", [result("error", message)])
    with pytest.raises(
        TerminalError, match=r"Hint: run `make up`, which creates raw\.quakes_reported from its contract;"
    ):
        dbt.run("build")
