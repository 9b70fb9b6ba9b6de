"""The timeline of all events, ordered by event time.

A `Timeline` stores the time of every event, and builds the events themselves in batches, column by column, on demand:
a year takes the memory of its rows and an index, not of its 690,237 values.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.events import Event
from producers.flights import source
from producers.flights.streams import MAPPINGS, STREAMS, with_contract
from producers.flights.values import json_values
from sluice.contracts import Contract, invalid_contracts
from sluice.errors import TerminalError

BATCH = 10_000
"""Events built at a time: about 5 MB."""


class Timeline:
    """All events of a range of dates, ordered by event time, then by stream, source row and copy."""

    def __init__(
        self,
        contracts: dict[str, Contract],
        first: date,
        last: date,
        streams: Sequence[str] = (),
        copies: int = 1,
    ) -> None:
        """Reads the rows of ``first..last`` and orders their events.

        Args:
            contracts: the contracts by stream; each defines the key field.
            first: the first local date of the source's rows.
            last: the last local date, included.
            streams: the streams to include; none for all that have a valid contract.
            copies: the number of distinct flights to derive from each flight.

        Raises:
            TerminalError: a stream is unknown or has no valid contract, no stream has one, copies is below 1, or the
                source lacks the dates.
        """
        if copies < 1:
            raise TerminalError(f"copies: {copies} is below 1", "give an integer of at least 1")
        self.streams = tuple(sorted(set(streams))) or with_contract(contracts)
        for stream in self.streams or STREAMS:
            if stream not in MAPPINGS:
                raise TerminalError(f"unknown stream {stream!r}", f"choose from {', '.join(STREAMS)}")
            for file in invalid_contracts(contracts):
                if file.stream == stream:
                    raise file.error()
            if stream not in contracts:
                raise TerminalError(f"no contract for {stream}", f"add contracts/{stream}.yaml")
        source.check_range(first, last)
        self._keys = {stream: key for stream in self.streams if (key := contracts[stream].key)}
        # Arrow's own pool keeps what reading and sorting have freed: 30 MiB for a year.
        pa.set_memory_pool(pa.system_memory_pool())
        tables = {MAPPINGS[stream].table for stream in self.streams}
        readers = {"flights": source.flights, "weather": source.weather}
        self._tables = {name: readers[name](first, last) for name in sorted(tables)}
        self._copies = copies
        self._is_flight = np.array([MAPPINGS[stream].table == "flights" for stream in self.streams])
        self._build_index()
        # Returns the memory of reading and sorting to the system: 80 MiB for a year.
        pa.default_memory_pool().release_unused()

    def _build_index(self) -> None:
        times, codes, rows = [], [], []
        for code, stream in enumerate(self.streams):
            mapping = MAPPINGS[stream]
            table = self._tables[mapping.table]
            row_indices = np.flatnonzero(mapping.has_event(table).to_numpy())
            seconds = pc.cast(mapping.event_time(table), pa.int64()).take(row_indices)
            times.append(seconds.to_numpy() * 1_000)
            rows.append(row_indices.astype(np.int32))
            codes.append(np.full(len(row_indices), code, np.uint8))
        time = np.concatenate(times)
        order = np.argsort(time, kind="stable")
        self._times: npt.NDArray[np.int64] = time[order]
        self._codes: npt.NDArray[np.uint8] = np.concatenate(codes)[order]
        self._rows: npt.NDArray[np.int32] = np.concatenate(rows)[order]

    def __len__(self) -> int:
        """Number of events, copies included."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Returns the number of events per stream, copies included."""
        totals = np.bincount(self._codes, minlength=len(self.streams)) * np.where(self._is_flight, self._copies, 1)
        return dict(zip(self.streams, totals.tolist(), strict=True))

    def batches(self, since: int | None = None) -> Iterator[list[Event]]:
        """Yields the events in order, in batches.

        Args:
            since: the event time, in milliseconds since 1970, before which events are skipped.
        """
        step = max(1, BATCH // self._copies)
        start = 0 if since is None else int(np.searchsorted(self._times, since))
        for low in range(start, len(self._times), step):
            yield self._build(slice(low, low + step))

    def _build(self, part: slice) -> list[Event]:
        repeats = np.where(self._is_flight[self._codes[part]], self._copies, 1)
        times, codes, rows = (np.repeat(index[part], repeats) for index in (self._times, self._codes, self._rows))
        # Numbers the copies 0, 1, ... within each run of repeats.
        copies = np.arange(len(times)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        events: dict[int, Event] = {}
        for code, stream in enumerate(self.streams):
            indices = np.flatnonzero(codes == code)
            mapping = MAPPINGS[stream]
            source_rows = self._tables[mapping.table].take(rows[indices])
            fields = mapping.fields(source_rows, pa.array(copies[indices], pa.int64()))
            key = self._keys.get(stream)
            keys = pc.cast(fields[key], pa.binary()).to_pylist() if key else [None] * len(indices)
            timestamps = times[indices].tolist()
            for index, key, value, timestamp in zip(
                indices.tolist(), keys, json_values(fields), timestamps, strict=True
            ):
                events[index] = Event(stream, key, value, timestamp, timestamp)
        return [events[index] for index in range(len(times))]
