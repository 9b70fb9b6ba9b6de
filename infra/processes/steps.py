"""Runs steps that need one another, each as soon as what it needs is done, as many at once as there are."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from sluice.errors import SluiceError

Report = Callable[[str], None]
"""Takes a line for the person who waits."""


def say(line: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(line, flush=True)


@dataclass(frozen=True)
class Step:
    """One thing to do. ``run`` gets an event that is set when it should give up, and returns what to say when done.

    A step that ``run`` returns ``None`` for was already done, and is not reported.
    """

    name: str
    run: Callable[[threading.Event], str | None]
    needs: tuple[str, ...] = ()
    announce: str = field(default="", kw_only=True)
    """Said when it starts: for steps of minutes."""


def run_steps(steps: Sequence[Step], report: Report) -> None:
    """Runs all steps; on the first failure the others are told to give up, and it is raised.

    Raises:
        SluiceError: a step's own error, or steps that need a missing one or each other.
    """
    waiting = {step.name: step for step in steps}
    _check(waiting)
    cancelled = threading.Event()
    done: set[str] = set()
    running: dict[Future[str | None], Step] = {}
    begun: dict[str, float] = {}
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        try:
            while waiting or running:
                for step in [step for step in waiting.values() if done.issuperset(step.needs)]:
                    del waiting[step.name]
                    if step.announce:
                        report(f"{step.name}: {step.announce}")
                    begun[step.name] = time.monotonic()
                    running[pool.submit(step.run, cancelled)] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    said = future.result()
                    done.add(step.name)
                    if said is not None:
                        report(f"{step.name}: {said} ({time.monotonic() - begun[step.name]:.1f} s)")
        except BaseException:
            cancelled.set()
            raise


def select(steps: Sequence[Step], goals: Sequence[str]) -> list[Step]:
    """The steps named ``goals`` and all that they need, directly or not."""
    named = {step.name: step for step in steps}
    chosen: dict[str, Step] = {}
    left = list(goals)
    while left:
        name = left.pop()
        if name not in chosen:
            chosen[name] = named[name]
            left.extend(named[name].needs)
    return list(chosen.values())


def _check(steps: dict[str, Step]) -> None:
    reachable: set[str] = set()
    while ready := [s.name for s in steps.values() if s.name not in reachable and reachable.issuperset(s.needs)]:
        reachable.update(ready)
    stuck = sorted(steps.keys() - reachable)
    if stuck:
        needs = "; ".join(f"{name} needs {', '.join(steps[name].needs)}" for name in stuck)
        raise SluiceError(
            f"these steps can never start: {needs}", "every need must name another step, without a circle"
        )
