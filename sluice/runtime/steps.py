"""Runs steps that need one another, each as soon as what it needs is done, as many at once as there are."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sluice.errors import SluiceError

Report = Callable[[str], None]


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
    finished: queue.Queue[tuple[Step, float, str | None, BaseException | None]] = queue.Queue()
    done: set[str] = set()
    threads: dict[str, threading.Thread] = {}

    def work(step: Step) -> None:
        start = time.monotonic()
        try:
            said = step.run(cancelled)
        except BaseException as error:
            finished.put((step, time.monotonic() - start, None, error))
        else:
            finished.put((step, time.monotonic() - start, said, None))

    try:
        while waiting or threads:
            for step in [step for step in waiting.values() if done.issuperset(step.needs)]:
                del waiting[step.name]
                if step.announce:
                    report(f"{step.name}: {step.announce}")
                threads[step.name] = threading.Thread(target=work, args=(step,), name=step.name, daemon=True)
                threads[step.name].start()
            step, seconds, said, error = finished.get()
            del threads[step.name]
            if error is not None:
                raise error
            done.add(step.name)
            if said is not None:
                report(f"{step.name}: {said} ({seconds:.1f} s)")
    except BaseException:
        cancelled.set()
        for thread in threads.values():
            thread.join(timeout=15)
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
