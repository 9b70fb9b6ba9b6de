"""The real input, read once: the year, and the month that most tests look at; and a delivery without a broker."""

from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest

from producers.delivery import Delivery
from producers.events import Event
from producers.flights.timeline import Timeline
from producers.stop import Stop
from sluice.contracts import Contract, load_contracts
from sluice.errors import TransientError
from sluice.settings import ROOT


@pytest.fixture(scope="session")
def contracts() -> dict[str, Contract]:
    return load_contracts(ROOT / "contracts")


@pytest.fixture(scope="session")
def year(contracts: dict[str, Contract]) -> Timeline:
    return Timeline(contracts, date(2013, 1, 1), date(2013, 12, 31))


@pytest.fixture(scope="session")
def january(contracts: dict[str, Contract]) -> Timeline:
    return Timeline(contracts, date(2013, 1, 1), date(2013, 1, 31))


class Recorder(Delivery):
    """Confirms every event when it is collected; refuses from a given one on."""

    def __init__(self, refuse_from: int | None = None) -> None:
        self.confirmed = Counter()
        self.refused = []
        self.events: list[Event] = []
        self.closed = False
        self._refuse_from = refuse_from
        self._seen = 0

    @property
    def full(self) -> bool:
        return False

    @property
    def unconfirmed(self) -> int:
        return len(self.events) - self.total

    def send(self, event: Event) -> None:
        self.events.append(event)

    def collect(self) -> None:
        for event in self.events[self._seen :]:
            self._seen += 1
            if self._refuse_from is not None and self._seen > self._refuse_from:
                self.refused.append(TimeoutError())
            else:
                self.confirmed[event.stream, event.disturbance] += 1

    def finish(self, _stop: Stop, _tick: Callable[[], None]) -> None:
        self.collect()

    def failure(self) -> TransientError:
        return TransientError(f"{self.unconfirmed} events were not delivered")

    def close(self) -> None:
        self.closed = True

    @property
    def oldest(self) -> int | None:
        return None


@pytest.fixture
def recording() -> type[Recorder]:
    return Recorder
