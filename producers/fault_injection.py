"""Seeded trouble: late events, duplicates, corrupt bytes, and JSON that breaks its contract.

A late event is the good one, sent later. The other kinds add records; the good event is always sent as well. The same
seed over the same events disturbs the same ones in the same way, and each kind draws for itself: to switch one on or
off changes nothing for the others.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from producers.contract_violations import Violation, contract_violations
from producers.events import Event
from sluice.contracts import Contract
from sluice.errors import TerminalError

LATE = "late"
DUPLICATE = "duplicate"
CORRUPT = "corrupt"
INVALID = "invalid"
KINDS = (LATE, DUPLICATE, CORRUPT, INVALID)

_HOUR = 3_600_000
_RESENT_WITHIN_HOURS = 6.0
"""A duplicate comes at once or, half of them, within so many hours of event time."""

_due = attrgetter("due")


@dataclass(frozen=True)
class Faults:
    """How much of each kind: shares of the events, from 0 to 1."""

    late: float = 0.0
    late_hours: float = 24.0
    """How much later, in hours of event time, a late event may come at most."""
    duplicates: float = 0.0
    corrupt: float = 0.0
    invalid: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "corrupt", "invalid"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise TerminalError(f"{name}: {share:g} is no share", "give a number from 0 to 1")
        if not (math.isfinite(self.late_hours) and self.late_hours > 0):
            raise TerminalError(f"late: {self.late_hours:g} hours", "give a number of hours above 0, as 0.05:24")
        if self.seed < 0:
            raise TerminalError(f"seed: {self.seed} is negative", "give a whole number from 0")

    @property
    def shares(self) -> dict[str, float]:
        """The share per kind."""
        return dict(zip(KINDS, (self.late, self.duplicates, self.corrupt, self.invalid), strict=True))

    @property
    def added(self) -> float:
        """How many records are added per event, on average."""
        return self.duplicates + self.corrupt + self.invalid


def inject_faults(
    batches: Iterable[list[Event]], wanted: Faults, contracts: dict[str, Contract]
) -> Iterator[list[Event]]:
    """Adds the wanted disturbances to batches of events that are ordered by ``due``; so are the batches it gives.

    An event that comes later than its batch is held until the batch that has reached its time.
    """
    if not any(wanted.shares.values()):
        yield from batches
        return
    makers = _Makers(wanted, contracts)
    held: list[Event] = []
    for batch in batches:
        pool = held + makers.disturbed(batch)
        pool.sort(key=_due)
        cut = bisect_right(pool, batch[-1].due, key=_due)
        held = pool[cut:]
        yield pool[:cut]
    if held:
        yield held


class _Makers:
    def __init__(self, wanted: Faults, contracts: dict[str, Contract]) -> None:
        self._wanted = wanted
        self._violations: dict[str, list[Violation]] = {
            s: contract_violations(contract) for s, contract in contracts.items()
        }
        # One generator decides which events, another how: each gives one number per event, so that neither
        # the size of the batches nor another kind's share moves a draw.
        pairs = np.random.default_rng(wanted.seed).spawn(2 * len(KINDS))
        self._draws = {kind: (pairs[2 * place], pairs[2 * place + 1]) for place, kind in enumerate(KINDS)}

    def disturbed(self, batch: list[Event]) -> list[Event]:
        events = list(batch)
        chosen = {kind: self._draw(kind, share, len(batch)) for kind, share in self._wanted.shares.items()}
        for place, how in chosen[LATE]:
            event = batch[place]
            delay = math.ceil(how * self._wanted.late_hours * _HOUR)
            events[place] = event._replace(due=event.due + delay, disturbance=LATE)
        events += [_duplicate(batch[place], how) for place, how in chosen[DUPLICATE]]
        events += [_corrupt(batch[place], how) for place, how in chosen[CORRUPT]]
        events += [self._invalid(batch[place], how) for place, how in chosen[INVALID]]
        return events

    def _draw(self, kind: str, share: float, size: int) -> list[tuple[int, float]]:
        """The places of the chosen events, each with a number from 0 to 1 that settles how."""
        which, how = (generator.random(size) for generator in self._draws[kind])
        places = np.flatnonzero(which < share)
        return list(zip(places.tolist(), how[places].tolist(), strict=True))

    def _invalid(self, event: Event, how: float) -> Event:
        ways = self._violations[event.stream]
        violation = ways[int(how * len(ways))]
        return event._replace(value=violation.apply(event.value), disturbance=INVALID)


def _duplicate(event: Event, how: float) -> Event:
    later = max(0.0, 2 * how - 1) * _RESENT_WITHIN_HOURS * _HOUR
    return event._replace(due=event.due + round(later), disturbance=DUPLICATE)


def _corrupt(event: Event, how: float) -> Event:
    """Keyed and stamped like the event it imitates, but no JSON: cut off, not UTF-8, not JSON at all, or empty."""
    value = event.value
    way, rest = divmod(how * 4, 1)
    cut = 1 + int(rest * (len(value) - 2))
    wrong = (value[:cut], value[:cut] + b"\xff\xfe" + value[cut:], b"<event>" + value[1:cut], b"")[int(way)]
    return event._replace(value=wrong, disturbance=CORRUPT)
