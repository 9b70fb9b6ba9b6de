"""Waiting until something is so."""

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

SECONDS = 240
"""How long a test waits at most: far longer than anything takes, so that a slow machine fails no test."""


def wait(
    what: str,
    look: Callable[[], Found],
    *,
    seconds: float = SECONDS,
    every: float = 0.1,
    alive: "subprocess.Popen[bytes] | None" = None,
    detail: Callable[[], object] = str,
) -> Found:
    """Looks until it finds something, and returns it.

    Args:
        what: is waited for, as the failure says it.
        look: returns something true once it is so.
        seconds: how long at most.
        every: seconds between two looks.
        alive: a process that has to run meanwhile.
        detail: what else the failure says.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert alive is None or alive.poll() is None, f"the process ended before: {what}"
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{detail()}"
        time.sleep(every)
    return found
