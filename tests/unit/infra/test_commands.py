import sys
import threading
from pathlib import Path

import psutil
import pytest

from infra.processes.commands import InterruptedRunError, LoggedError, follow, last_lines, run_logged
from tests.fixtures.waiting import wait


def test_the_error_of_a_failed_command_refers_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "it.log"
    with pytest.raises(LoggedError, match="exit code 3") as caught:
        run_logged(["bash", "-c", "echo the reason; exit 3"], log)
    assert caught.value.log == log
    assert last_lines(log) == "    the reason"


def test_a_log_is_printed_without_what_could_affect_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "it.log"
    log.write_bytes(b"value \x1b[2J\xe2\x80\xae \xff\n\tat line 1\n")
    assert last_lines(log) == "    value \\x1b[2J\\u202e \\xff\n            at line 1"
    follow([log], 5, forever=False)
    assert capfd.readouterr().out.splitlines()[1:] == ["value \\x1b[2J\\u202e \\xff", "        at line 1"]


def test_a_command_reads_standard_input_and_has_no_terminal_to_prompt_on(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    prompt = "import getpass; print('got', getpass.getpass(''))"
    run_logged([sys.executable, "-c", prompt], log, stdin="it\n")
    assert last_lines(log, 1) == "    got it"


def test_a_cancelled_command_is_ended_with_its_children(tmp_path: Path) -> None:
    pids, cancelled = tmp_path / "pids", threading.Event()
    command = ["bash", "-c", f"sleep 600 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"]

    def cancel_once_started() -> None:
        wait("the command starts", pids.exists)
        cancelled.set()

    threading.Thread(target=cancel_once_started).start()
    with pytest.raises(InterruptedRunError):
        run_logged(command, tmp_path / "it.log", cancelled=cancelled)
    alive = [psutil.Process(pid) for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]
    assert not psutil.wait_procs(alive, timeout=60)[1]
