"""Delivery of events to Kafka by either client; every single event is tracked until the broker confirms it."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from kafka.errors import InvalidTimestampError

from producers.events import Event
from producers.stop import Stop
from sluice.errors import SluiceError, TerminalError, TransientError

DELIVERY_TIMEOUT = 300.0
"""Seconds until an event that Kafka has not accepted counts as not delivered."""
SHUTDOWN_TIMEOUT = 30.0
"""Seconds to wait for events in flight after a signal to stop."""


class Topic(NamedTuple):
    """A stream's topic."""

    name: str
    partitions: int


class Delivery(ABC):
    """Sends events. ``send`` and ``poll`` must be called from one thread."""

    def __init__(self, address: str) -> None:
        """Starts with no event.

        Args:
            address: Kafka's, for messages.
        """
        self.confirmed: Counter[tuple[str, str]] = Counter()
        """Number of confirmed records by stream and injected fault (empty for none)."""
        self.failures: list[Exception] = []
        """The error of each event that could not be delivered, one of kafka-python's classes."""
        self.address = address

    @property
    def total(self) -> int:
        """Number of confirmed records."""
        return self.confirmed.total()

    @property
    def unconfirmed(self) -> int:
        """Number of records that were sent but not confirmed, whether in flight or failed."""
        return self.in_flight + len(self.failures)

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Number of records that were sent, and neither confirmed nor failed so far."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether the sender must wait for confirmations before it sends more."""

    @abstractmethod
    def send(self, event: Event) -> None:
        """Sends an event without waiting; ``poll`` processes the confirmation.

        Raises:
            TransientError: the client does not accept it now, for example because the topic was deleted.
        """

    @abstractmethod
    def poll(self) -> None:
        """Processes the confirmations and errors received so far, without waiting."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection and abandons the events in flight."""

    def flush(self, stop: Stop, tick: Callable[[], None]) -> None:
        """Waits for the events in flight: SHUTDOWN_TIMEOUT at most after a signal, not at all after a second one.

        Args:
            stop: the signals.
            tick: called several times a second while waiting.
        """
        self.poll()
        while self.in_flight and not stop.forced and stop.age < SHUTDOWN_TIMEOUT:
            tick()
            time.sleep(0.02)
            self.poll()

    def delivery_error(self) -> SluiceError:
        """Returns the error for the unconfirmed events: their number and the causes."""
        refused = sum(isinstance(error, InvalidTimestampError) for error in self.failures)
        if refused:
            return TerminalError(
                f"{refused:,} events were refused by Kafka at {self.address}: their timestamps, or those of events in"
                " the same batch, are more than an hour in the future",
                "correct the event times or this host's clock, or send them with the current time as timestamp",
            )
        counts = Counter(type(error).__name__ for error in self.failures)
        causes = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "no confirmation"
        return TransientError(
            f"{self.unconfirmed:,} events were not delivered to Kafka at {self.address}: {causes}",
            "check `make status`, then send again: an event that was sent twice counts once by its id",
        )

    def not_accepted(self, topic: str, error: Exception) -> SluiceError:
        """Returns the error for a client that does not accept an event."""
        return TransientError(
            f"Kafka at {self.address} no longer accepts events for {topic}: {error}", "check `make status`"
        )
