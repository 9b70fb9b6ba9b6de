"""The soak's input: six dates a minute of flights in many copies, with faults, in replays that may be repeated."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from producers.fault_injection import Faults
from tests.soak.platform import SoakedPlatform

COPIES = 27
"""Each flight's. With six dates a minute, 5,000 events/s on the average of the year."""
DATES = 6
SLICE_SECONDS = 60.0
SPEED = 9_000
"""Seconds of event time per second: six dates take 58 seconds."""
FAULTS = Faults(late=0.03, late_hours=24, duplicates=0.03, corrupt=0.005, invalid=0.005)
_FIRST, _YEAR = date(2013, 1, 1), 365
_SENDERS = 3
"""Late events of a slice are sent during the next one, and one may have to be repeated."""


@dataclass(frozen=True)
class Slice:
    """A replay: the second of its start, its dates, both included, and the seed of its faults."""

    moment: float
    first: date
    last: date
    seed: int

    @property
    def faults(self) -> Faults:
        """The faults that the replay injects."""
        return replace(FAULTS, seed=self.seed)

    @property
    def arguments(self) -> list[str]:
        """The arguments of `sluice replay`."""
        shares = (f"--{name}={getattr(FAULTS, name)}" for name in ("duplicates", "corrupt", "invalid"))
        late = f"--late={FAULTS.late}:{FAULTS.late_hours}"
        pace = (f"--copies={COPIES}", f"--speed={SPEED}", f"--seed={self.seed}")
        return [f"--from={self.first}", f"--to={self.last}", *pace, late, *shares]


def slices(seed: int, seconds: float) -> list[Slice]:
    """Returns the replays of a soak: the year from its first date on, and again from there if it ends."""
    random = Random(f"feed {seed}")
    found: list[Slice] = []
    day = 0
    while (moment := len(found) * SLICE_SECONDS) < seconds:
        last = min(day + DATES, _YEAR) - 1
        first_date, last_date = (_FIRST + timedelta(days=number) for number in (day, last))
        found.append(Slice(moment, first_date, last_date, random.randrange(2**31)))
        day = (last + 1) % _YEAR
    return found


class Feed:
    """Sends slices when they are due, each until all of it is confirmed."""

    def __init__(self, platform: SoakedPlatform, found: list[Slice], say: Callable[[str], None]) -> None:
        self.attempts: dict[Slice, int] = {}
        """How often each slice was begun."""
        self.complete: set[Slice] = set()
        self._platform = platform
        self._due = list(found)
        self._say = say
        self._lock = threading.Lock()
        self._abandoned = threading.Event()
        self._started = 0.0
        self._threads = [threading.Thread(target=self._run) for _ in range(_SENDERS)]

    @property
    def first(self) -> date:
        """The first date that was sent."""
        return min(part.first for part in self.complete)

    @property
    def last(self) -> date:
        """The last date that was sent."""
        return max(part.last for part in self.complete)

    def sent_until(self) -> date | None:
        """Returns the last date of the slices that are complete, of the first pass; None if there is none yet."""
        with self._lock:
            return max((part.last for part in self.complete), default=None)

    def start(self) -> None:
        """Begins to send."""
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Waits until every slice is complete."""
        for thread in self._threads:
            thread.join()

    def abandon(self) -> None:
        """Sends no more slices, and waits for those that are being sent."""
        self._abandoned.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    return
                part = self._due.pop(0)
            if self._abandoned.wait(max(0.0, self._started + part.moment - time.monotonic())):
                return
            while not self._send(part):
                self._say(f"replay {part.first} to {part.last} failed; repeated")
                if self._abandoned.wait(2):
                    return
            with self._lock:
                self.complete.add(part)

    def _send(self, part: Slice) -> bool:
        with self._lock:
            self.attempts[part] = self.attempts.get(part, 0) + 1
        return self._platform.sluice("replay", *part.arguments, timeout=600).code == 0
