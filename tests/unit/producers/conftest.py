"""The source data, read once: the year, and the month that most tests use; and a delivery without a broker."""

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


class RecordingDelivery(Delivery):
    """Confirms every event on ``poll``, or only the first ``confirm`` ones; the others fail."""

    def __init__(self, confirm: int | None = None) -> None:
        super().__init__("-")
        self.events: list[Event] = []
        self.closed = False
        self._confirm = confirm
        self._polled = 0

    @property
    def full(self) -> bool:
        return False

    @property
    def in_flight(self) -> int:
        return len(self.events) - self._polled

    def send(self, event: Event) -> None:
        self.events.append(event)

    def poll(self) -> None:
        for event in self.events[self._polled :]:
            self._polled += 1
            if self._confirm is not None and self._polled > self._confirm:
                self.failures.append(TimeoutError())
            else:
                self.confirmed[event.stream, event.fault] += 1

    def flush(self, _stop: Stop, _tick: Callable[[], None]) -> None:
        self.poll()

    def delivery_error(self) -> TransientError:
        return TransientError(f"{self.unconfirmed} events were not delivered")

    def close(self) -> None:
        self.closed = True

    @property
    def oldest_pending(self) -> int | None:
        return None


@pytest.fixture
def recording_delivery() -> type[RecordingDelivery]:
    return RecordingDelivery
