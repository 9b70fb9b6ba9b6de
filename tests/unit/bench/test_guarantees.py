import os
import sys
import time
from pathlib import Path

import pytest

from bench.guarantees import (
    Attempt,
    after_kills,
    after_second_run,
    guarantees,
    kill_after,
    moments,
)
from bench.load.rows import lost_and_doubled


@pytest.mark.parametrize(
    ("events_by_copies", "lost", "doubled"),
    [
        ({1: 10}, 0, 0),
        ({}, 10, 0),
        ({1: 8}, 2, 0),
        ({1: 6, 2: 4}, 0, 4),
        ({1: 7, 3: 1}, 2, 2),
    ],
)
def test_events_without_a_row_are_lost_and_rows_beyond_the_first_are_doubled(
    events_by_copies: dict[int, int], lost: int, doubled: int
) -> None:
    assert lost_and_doubled(events_by_copies, 10) == (lost, doubled)


def test_the_kills_are_between_the_end_of_the_start_up_and_the_end() -> None:
    runs = [{"start_seconds": start, "seconds": start + 4.0} for start in (1.0, 9.0, 2.0)]
    assert moments(runs) == [3.0, 4.0, 5.0]


def test_the_report_has_the_worst_of_the_kills_and_the_second_run() -> None:
    found = [
        {"killed_after": 1.0, "lost": 0, "doubled": 1200},
        {"killed_after": 2.0, "lost": 3, "doubled": 0},
        {"killed_after": None, "lost": 0, "doubled": 5},
    ]
    assert after_kills(found) == "3 / 1,200"
    assert after_second_run(found) == "5"


_WRITES_TWICE = """
import sys, time
for line in ("first", "second"):
    with open(sys.argv[1], "a") as file:
        print(line, file=file, flush=True)
    time.sleep(0.5)
"""


def test_a_contestant_is_run_again_after_each_kill_and_after_it_has_finished(tmp_path: Path) -> None:
    written = tmp_path / "written"
    command = [sys.executable, "-c", _WRITES_TWICE, written]

    def count() -> tuple[int, int]:
        lines = written.read_text().split()
        return 2 - len({*lines}), len(lines) - len({*lines})

    def begin() -> Attempt:
        written.unlink(missing_ok=True)
        return Attempt(command, {}, tmp_path / "output", count)

    found = guarantees([0.3, None], begin)
    assert found == [
        {"killed_after": 0.3, "lost": 0, "doubled": 1},
        {"killed_after": None, "lost": 0, "doubled": 2},
    ]


def test_a_killed_command_does_nothing_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time, os; print(os.getpid(), flush=True); time.sleep(60)"]
    started = time.monotonic()
    assert kill_after(0.3, command, {}, tmp_path / "output")
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "output").read_text()), 0)


def test_a_command_that_has_exited_is_killed_earlier_the_next_time(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(0.6)"
    command = [sys.executable, "-S", "-c", script, starts]
    found = guarantees([1.2], lambda: Attempt(command, {}, tmp_path / "output", lambda: (0, 0)))
    assert 0 < found[0]["killed_after"] < 1.2
    assert len(starts.read_text()) > 4


def test_a_command_that_fails_by_itself_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exited with 3"):
        kill_after(2, [sys.executable, "-S", "-c", "raise SystemExit(3)"], {}, tmp_path / "output")
