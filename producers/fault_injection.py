"""Seeded fault injection: late events, duplicates, corrupt bytes, and JSON that violates its contract.

A late event is the original, sent later. The other faults add records, and the original is sent as well. The same seed
over the same events injects the same faults. Each fault has random numbers of its own: enabling or disabling one does
not change the others. A value that is not a JSON object is invalid as it is: it gets neither of the last two faults.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from producers.contract_violations import Violation, contract_violations
from producers.events import Event
from sluice.contracts import Contract
from sluice.contracts.validation import parse
from sluice.contracts.values import ContractViolationError
from sluice.errors import TerminalError

LATE = "late"
DUPLICATE = "duplicate"
CORRUPT = "corrupt"
INVALID = "invalid"
FAULTS = (LATE, DUPLICATE, CORRUPT, INVALID)

_HOUR = 3_600_000
_RESENT_WITHIN_HOURS = 6.0
"""Half of the duplicates are sent at once, the others within this many hours of event time."""

_due = attrgetter("due")


@dataclass(frozen=True)
class Faults:
    """The faults to inject, each as a share of the events, from 0 to 1."""

    late: float = 0.0
    late_hours: float = 24.0
    """The maximum delay of a late event, in hours of event time."""
    duplicates: float = 0.0
    corrupt: float = 0.0
    invalid: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "duplicates", "corrupt", "invalid"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise TerminalError(f"{name}: {share:g} is not a share", "give a number from 0 to 1")
        if not (math.isfinite(self.late_hours) and self.late_hours > 0):
            raise TerminalError(
                f"late: {self.late_hours:g} hours is not a delay", "give a number of hours above 0, as in 0.05:24"
            )
        if self.seed < 0:
            raise TerminalError(f"seed: {self.seed} is negative", "give an integer of at least 0")

    @property
    def share_by_fault(self) -> dict[str, float]:
        """The share of the events that gets each fault."""
        return dict(zip(FAULTS, (self.late, self.duplicates, self.corrupt, self.invalid), strict=True))

    @property
    def added(self) -> float:
        """The average number of records added per event."""
        return self.duplicates + self.corrupt + self.invalid


def inject_faults(
    batches: Iterable[list[Event]], faults: Faults, contracts: Mapping[str, Contract]
) -> Iterator[list[Event]]:
    """Yields the batches with faults injected.

    Args:
        batches: events ordered by ``due``; the yielded batches are ordered in the same way. An event that is due after
            the end of its batch is buffered until the batch that reaches its time.
        faults: the faults to inject.
        contracts: the contracts by stream.
    """
    if not any(faults.share_by_fault.values()):
        yield from batches
        return
    injector = _Injector(faults, contracts)
    buffered: list[Event] = []
    for batch in batches:
        pool = buffered + injector.inject(batch)
        pool.sort(key=_due)
        cut = bisect_right(pool, batch[-1].due, key=_due)
        buffered = pool[cut:]
        yield pool[:cut]
    if buffered:
        yield buffered


class _Injector:
    def __init__(self, faults: Faults, contracts: Mapping[str, Contract]) -> None:
        self._faults = faults
        self._violations: dict[str, list[Violation]] = {
            stream: contract_violations(contract) for stream, contract in contracts.items()
        }
        # Per fault, one generator selects the events and another varies the fault. Each draws one number per event,
        # so neither the batch size nor the share of another fault shifts the sequence.
        generators = np.random.default_rng(faults.seed).spawn(2 * len(FAULTS))
        self._generators = {
            fault: (generators[2 * index], generators[2 * index + 1]) for index, fault in enumerate(FAULTS)
        }

    def inject(self, batch: list[Event]) -> list[Event]:
        """Returns the events of ``batch`` with faults, in no particular order."""
        events = list(batch)
        selected = {
            fault: self._select(fault, share, len(batch)) for fault, share in self._faults.share_by_fault.items()
        }
        for index, variation in selected[LATE]:
            event = batch[index]
            delay = math.ceil(variation * self._faults.late_hours * _HOUR)
            events[index] = event._replace(due=event.due + delay, fault=LATE)
        events += [_duplicate(batch[index], variation) for index, variation in selected[DUPLICATE]]
        corrupt = (_corrupt(batch[index], variation) for index, variation in selected[CORRUPT])
        invalid = (self._invalid(batch[index], variation) for index, variation in selected[INVALID])
        return events + [event for event in (*corrupt, *invalid) if event is not None]

    def _select(self, fault: str, share: float, size: int) -> list[tuple[int, float]]:
        """Returns the indices of the selected events, each with a number from 0 to 1 that varies the fault."""
        selection, variation = (generator.random(size) for generator in self._generators[fault])
        indices = np.flatnonzero(selection < share)
        return list(zip(indices.tolist(), variation[indices].tolist(), strict=True))

    def _invalid(self, event: Event, variation: float) -> Event | None:
        violations = self._violations[event.stream]
        violation = violations[int(variation * len(violations))]
        value = violation.apply(event.value) if _is_object(event.value) else None
        return None if value is None else event._replace(value=value, fault=INVALID)


def _duplicate(event: Event, variation: float) -> Event:
    delay = max(0.0, 2 * variation - 1) * _RESENT_WITHIN_HOURS * _HOUR
    return event._replace(due=event.due + round(delay), fault=DUPLICATE)


def _corrupt(event: Event, variation: float) -> Event | None:
    """Returns an event with the same key and timestamp, but invalid JSON: truncated, not UTF-8, XML-like, or empty.

    None if it is not a JSON object: a part of a number, for example, can be one.
    """
    if not _is_object(event.value):
        return None
    # Without the space at its end, an object would still be one.
    value = event.value.strip()
    corruption, fraction = divmod(variation * 4, 1)
    cut = 1 + int(fraction * (len(value) - 2))
    corrupted = (value[:cut], value[:cut] + b"\xff\xfe" + value[cut:], b"<event>" + value[1:cut], b"")[int(corruption)]
    return event._replace(value=corrupted, fault=CORRUPT)


def _is_object(value: bytes) -> bool:
    try:
        parse(value)
    except ContractViolationError:
        return False
    return True
