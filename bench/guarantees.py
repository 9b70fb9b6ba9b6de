"""What a contestant leaves behind that is killed and run again, or run again after it has finished."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from bench.measure import measure, start
from bench.report import Run, median

MOMENTS = (0.25, 0.5, 0.75)
"""When a contestant is killed: shares of the time from the end of its start-up to its end."""
_EARLIER = 0.8
"""How much sooner a contestant is killed that was faster than its median and had exited."""


def moments(runs: Sequence[Run]) -> list[float]:
    """Returns after how many seconds a contestant is killed, from the medians of its runs."""
    start, end = (median(list(runs), itemgetter(name)) for name in ("start_seconds", "seconds"))
    return [round(start + share * (end - start), 2) for share in MOMENTS]


@dataclass(frozen=True)
class Attempt:
    """A contestant that is started with nothing done yet, perhaps killed, and started again in the same way."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    """Variables added to those of this process."""
    output: Path
    """The file for its output."""
    count: Callable[[], tuple[int, int]]
    """Returns how many events are lost and doubled once it has ended."""
    done: Callable[[], Callable[[], bool] | None] = lambda: None
    """Returns, at each start, the check of whether it has done everything; None if it exits by itself."""

    def run(self) -> None:
        """Runs it to its end; raises a RuntimeError if it fails."""
        measure(self.command, self.environment, self.output, None, self.done())


def guarantees(seconds: Sequence[float | None], begin: Callable[[], Attempt]) -> list[Run]:
    """Returns what is lost or doubled after each kill, and after a second run of one that has finished.

    Args:
        seconds: when to kill it, once per attempt; None to let it finish and run it again.
        begin: empties its target, makes it forget its state, and returns an attempt.

    Raises:
        RuntimeError: it failed.
    """
    results = []
    for moment in seconds:
        attempt = begin()
        if moment is None:
            attempt.run()
        else:
            while not kill_after(moment, attempt.command, attempt.environment, attempt.output):
                attempt = begin()
                moment = round(moment * _EARLIER, 2)
        attempt.run()
        lost, doubled = attempt.count()
        results.append({"killed_after": moment, "lost": lost, "doubled": doubled})
    return results


def kill_after(seconds: float, command: Sequence[str | Path], environment: Mapping[str, str], output: Path) -> bool:
    """Starts a command in the project's folder and sends it SIGKILL after so many seconds.

    Returns:
        False if it has exited by then.

    Raises:
        RuntimeError: it has failed by then.
    """
    with output.open("w") as file:
        process = start(command, environment, file)
    time.sleep(seconds)
    process.kill()
    if process.wait() > 0:
        raise RuntimeError(
            f"{command} exited with {process.returncode}:\n{output.read_text(errors='replace')[-2_000:]}"
        )
    return process.returncode == -signal.SIGKILL


def after_kills(found: Sequence[Run]) -> str:
    """Returns what the kills left lost and doubled at most, as a report writes it."""
    kills = [guarantee for guarantee in found if guarantee["killed_after"] is not None]
    lost, doubled = (max(guarantee[name] for guarantee in kills) for name in ("lost", "doubled"))
    return f"{lost:,} / {doubled:,}"


def after_second_run(found: Sequence[Run]) -> str:
    """Returns what the second run of one that had finished doubled at most, as a report writes it."""
    return f"{max(guarantee['doubled'] for guarantee in found if guarantee['killed_after'] is None):,}"
