"""The events of a file, in the order of their event time."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from producers.events import Event
from producers.files import Records
from sluice.contracts import Column, Contract
from sluice.contracts.paths import MISSING, first_value
from sluice.contracts.validation import parse
from sluice.contracts.values import ContractViolationError, JsonNumber, read_value

BATCH = 10_000
"""Events built at a time."""


class FileTimeline:
    """The records of a file as events with the contract's key and event time.

    They are ordered by event time; those with the same time keep the file's order. A record whose time cannot be read
    follows the one before it in the file. With the event time ``record``, all keep the file's order.
    """

    def __init__(self, contract: Contract, records: Records) -> None:
        """Reads every record once, for its time and its key."""
        self._contract = contract
        self._records = records
        self._keys: list[bytes | None] = [None] * len(records)
        self._due, self._has_time = self._read_times_and_keys()
        self._order = np.argsort(self._due, kind="stable")
        self.unreadable = 0 if contract.happens_at_record else int(np.count_nonzero(~self._has_time))
        """Number of records whose event time cannot be read. They are sent with the current time."""

    def __len__(self) -> int:
        return len(self._order)

    def batches(self) -> Iterator[list[Event]]:
        """Yields the events in order, in batches."""
        for low in range(0, len(self._order), BATCH):
            indices = self._order[low : low + BATCH].tolist()
            texts = self._records.texts(indices)
            yield [self._event(index, text) for index, text in zip(indices, texts, strict=True)]

    def _event(self, index: int, text: bytes) -> Event:
        due = int(self._due[index])
        # Kafka has no times before 1970, and refuses those that are more than an hour in the future.
        timestamp = min(max(0, due), _now()) if self._has_time[index] else _now()
        return Event(self._contract.stream, self._keys[index], text, timestamp, due)

    def _read_times_and_keys(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Reads the keys. Returns when each record is due, in milliseconds, and whether that is its event time."""
        contract = self._contract
        time_column = None if contract.happens_at_record else contract.column(contract.event_time)
        key_column = contract.column(contract.key or "")
        count = len(self._records)
        due, has_time = np.full(count, _now(), np.int64), np.zeros(count, np.bool_)
        for low in range(0, count, BATCH):
            for index, text in enumerate(self._records.texts(range(low, min(low + BATCH, count))), low):
                fields = _fields(text)
                if key_column is not None:
                    self._keys[index] = _key_bytes(_value(key_column, fields))
                moment = None if time_column is None else _milliseconds(time_column, _value(time_column, fields))
                if moment is not None:
                    due[index], has_time[index] = moment, True
        readable = np.flatnonzero(has_time)
        if len(readable):
            # The index of the last readable record up to each one; before the first of them, that one's.
            last = np.maximum.accumulate(np.where(has_time, np.arange(count), -1))
            due = due[np.where(last < 0, readable[0], last)]
        return due, has_time


def _now() -> int:
    return time.time_ns() // 1_000_000


def _milliseconds(column: Column, value: Any) -> int | None:
    """Returns an event time since 1970; None if there is none that can be read."""
    try:
        return None if value is None else int(read_value(column, value, None)) // 1_000
    except ContractViolationError:
        return None


def _fields(text: bytes) -> dict[str, Any]:
    """Returns a record's fields, numbers with their digits; none if it is not a JSON object."""
    try:
        return parse(text, exact=True)
    except ContractViolationError:
        return {}


def _value(column: Column, fields: dict[str, Any]) -> Any:
    """Returns the value of a column as the record has it; None if it has none."""
    value = first_value(fields, column.paths)
    return None if value is MISSING else value


def _key_bytes(value: Any) -> bytes | None:
    """Returns a key as the text that the event has for it; None if it has none that could be a key."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return (value.text if isinstance(value, JsonNumber) else str(value)).encode("utf-8", "surrogatepass")
