"""What operators and Airflow do during the soak: backfills, transforms, loads, maintenance, reconciliations."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from random import Random

from tests.soak.feed import Feed
from tests.soak.platform import Done, SoakedPlatform

_PAUSE = (5, 20)
"""Seconds between two commands of a worker."""
_COMMANDS = ("transform", "load", "reconcile", "maintain", "verify")
_TIMEOUT = 600.0
_FIRST = date(2013, 1, 1)


class Work:
    """Two workers: one backfills, the other runs one of the other commands after the other.

    Under faults a command may fail, with an error of one line. It may never report that something disagrees.
    """

    def __init__(self, platform: SoakedPlatform, feed: Feed, seed: int, say: Callable[[str], None]) -> None:
        self.done: Counter[tuple[str, bool]] = Counter()
        """Commands by name and success."""
        self.problems: list[str] = []
        """Commands that found the platform's data wrong."""
        self._platform = platform
        self._feed = feed
        self._say = say
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(Random(f"{command} {seed}"), command))
            for command in (self._backfill, self._other)
        ]

    def start(self) -> None:
        """Begins to work."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Waits for the commands that run, and starts no more."""
        self._ending.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self, random: Random, command: Callable[[Random], None]) -> None:
        while not self._ending.wait(random.randint(*_PAUSE)):
            command(random)

    def _backfill(self, random: Random) -> None:
        last = self._feed.sent_until()
        if last is None:
            return
        first = _FIRST + timedelta(days=random.randrange((last - _FIRST).days + 1))
        days = timedelta(days=random.randint(0, 2))
        what = random.choice(("raw", "marts", "all"))
        self._execute("backfill", f"--from={first}", f"--to={min(first + days, last)}", f"--what={what}", "--force")

    def _other(self, random: Random) -> None:
        commands = {
            "maintain": ("airflow", "dags", "trigger", "maintain"),
            "verify": ("lake", "verify"),
        }
        name = random.choice(_COMMANDS)
        self._execute(*commands.get(name, (name,)))

    def _execute(self, *arguments: str) -> None:
        done = self._platform.sluice(*arguments, timeout=_TIMEOUT)
        name = " ".join(part for part in arguments if not part.startswith("--"))
        self.done[name, done.code == 0] += 1
        if problem := disagreement(done):
            self.problems.append(f"{name}: {problem}")
            self._say(f"{name}: {problem}")


def disagreement(done: Done) -> str:
    """Returns what a command found wrong with the data; empty if it found nothing, or has failed before it could."""
    for line in (done.output + done.errors).splitlines():
        if line.endswith(" disagreements") or (line.endswith(" faults") and line != "no faults"):
            return line
        if "verification failed" in line and "not reprocessed" not in line:
            return line
    return ""
