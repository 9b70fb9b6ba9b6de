"""Runs steps with dependencies: a step starts as soon as the steps it needs are done, all ready steps in parallel."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from sluice.errors import SluiceError

Report = Callable[[str], None]
"""Receives progress, one line per call."""


def print_line(line: str) -> None:
    """Prints a line and flushes it, so that it also appears at once in a pipe."""
    print(line, flush=True)


@dataclass(frozen=True)
class Step:
    """One unit of work.

    ``run`` receives an event that is set when it should give up, and returns its result for the progress report, or
    None if there was nothing to do; such a step is not reported.
    """

    name: str
    run: Callable[[threading.Event], str | None]
    needs: tuple[str, ...] = ()
    announce: str = field(default="", kw_only=True)
    """Reported when the step starts; for steps that take minutes."""


def run_steps(steps: Sequence[Step], report: Report) -> None:
    """Runs all steps; on the first failure cancels the others and raises the failed step's error.

    Raises:
        SluiceError: a step failed, or a step can never start because a step it needs is missing or needs it in turn.
    """
    waiting = {step.name: step for step in steps}
    _check(waiting)
    cancelled = threading.Event()
    done: set[str] = set()
    running: dict[Future[str | None], Step] = {}
    started_at: dict[str, float] = {}
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        try:
            while waiting or running:
                for step in [step for step in waiting.values() if done.issuperset(step.needs)]:
                    del waiting[step.name]
                    if step.announce:
                        report(f"{step.name}: {step.announce}")
                    started_at[step.name] = time.monotonic()
                    running[pool.submit(step.run, cancelled)] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    result = future.result()
                    done.add(step.name)
                    if result is not None:
                        report(f"{step.name}: {result} ({time.monotonic() - started_at[step.name]:.1f} s)")
        except BaseException:
            cancelled.set()
            raise


def select(steps: Sequence[Step], goals: Sequence[str]) -> list[Step]:
    """Returns the steps named ``goals`` and all steps that these need, directly or indirectly."""
    named = {step.name: step for step in steps}
    chosen: dict[str, Step] = {}
    pending = list(goals)
    while pending:
        name = pending.pop()
        if name not in chosen:
            chosen[name] = named[name]
            pending.extend(named[name].needs)
    return list(chosen.values())


def _check(steps: dict[str, Step]) -> None:
    reachable: set[str] = set()
    while ready := [s.name for s in steps.values() if s.name not in reachable and reachable.issuperset(s.needs)]:
        reachable.update(ready)
    stuck = sorted(steps.keys() - reachable)
    if stuck:
        needs = "; ".join(f"{name} needs {', '.join(steps[name].needs)}" for name in stuck)
        raise SluiceError(
            f"these steps can never start: {needs}", "add the missing step or break the circular dependency"
        )
