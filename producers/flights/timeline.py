"""The order in which everything happened.

A `Timeline` knows the time of every event and makes the events themselves in batches, column by column, as they are
asked for: a year takes the memory of its rows and an index, not of its 690,237 values.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.events import Event
from producers.flights import source
from producers.flights.streams import KINDS, STREAMS
from producers.flights.values import json_values
from sluice.contracts import Contract
from sluice.errors import TerminalError

BATCH = 10_000
"""Events made at a time: some 5 MB."""


class Timeline:
    """Every event of a range of dates, ordered by event time; ties by stream, source row and copy."""

    def __init__(
        self,
        contracts: dict[str, Contract],
        first: date,
        last: date,
        streams: Sequence[str] = STREAMS,
        copies: int = 1,
    ) -> None:
        """Reads the rows of ``first..last`` and orders their events.

        Args:
            contracts: the contracts by stream; they say which field is the key.
            first: the first local date of the source's rows.
            last: the last one, included.
            streams: the streams to make events of.
            copies: how many distinct flights each flight becomes.

        Raises:
            TerminalError: an unknown stream, no contract for one, fewer than one copy, or dates outside the source.
        """
        if copies < 1:
            raise TerminalError(f"{copies} copies of each flight are none", "give a whole number from 1")
        self.streams = tuple(sorted(set(streams)))
        for stream in self.streams:
            if stream not in KINDS:
                raise TerminalError(f"unknown stream {stream!r}", f"known are {', '.join(STREAMS)}")
            if stream not in contracts:
                raise TerminalError(f"no contract for {stream}", f"add contracts/{stream}.yaml")
        source.check_range(first, last)
        self._keys = {stream: contracts[stream].key for stream in self.streams}
        wanted = {KINDS[stream].table for stream in self.streams}
        readers = {"flights": source.flights, "weather": source.weather}
        self._tables = {name: readers[name](first, last) for name in sorted(wanted)}
        self._copies = copies
        self._is_flight = np.array([KINDS[stream].table == "flights" for stream in self.streams])
        self._order()
        # What reading and sorting took goes back to the system: some 50 MB of a year.
        pa.default_memory_pool().release_unused()

    def _order(self) -> None:
        times, codes, rows = [], [], []
        for code, stream in enumerate(self.streams):
            kind = KINDS[stream]
            table = self._tables[kind.table]
            row = np.flatnonzero(kind.has(table).to_numpy())
            seconds = pc.cast(kind.when(table), pa.int64()).take(row)
            times.append(seconds.to_numpy() * 1_000)
            rows.append(row.astype(np.int32))
            codes.append(np.full(len(row), code, np.uint8))
        time = np.concatenate(times)
        order = np.argsort(time, kind="stable")
        self._times: npt.NDArray[np.int64] = time[order]
        self._codes: npt.NDArray[np.uint8] = np.concatenate(codes)[order]
        self._rows: npt.NDArray[np.int32] = np.concatenate(rows)[order]

    def __len__(self) -> int:
        """How many events there are, copies included."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """How many events each stream has, copies included."""
        found = np.bincount(self._codes, minlength=len(self.streams)) * np.where(self._is_flight, self._copies, 1)
        return dict(zip(self.streams, found.tolist(), strict=True))

    def batches(self, since: int | None = None) -> Iterator[list[Event]]:
        """Makes the events, in order, a batch at a time.

        Args:
            since: leaves out what happened before this event time, in milliseconds since 1970.
        """
        step = max(1, BATCH // self._copies)
        start = 0 if since is None else int(np.searchsorted(self._times, since))
        for low in range(start, len(self._times), step):
            yield self._make(slice(low, low + step))

    def _make(self, part: slice) -> list[Event]:
        repeats = np.where(self._is_flight[self._codes[part]], self._copies, 1)
        times, codes, rows = (np.repeat(index[part], repeats) for index in (self._times, self._codes, self._rows))
        # Counts 0, 1, ... within each run of repeats.
        copies = np.arange(len(times)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        made: dict[int, Event] = {}
        for code, stream in enumerate(self.streams):
            places = np.flatnonzero(codes == code)
            kind = KINDS[stream]
            fields = kind.fields(self._tables[kind.table].take(rows[places]), pa.array(copies[places], pa.int64()))
            keys = pc.cast(fields[self._keys[stream]], pa.binary()).to_pylist()
            stamps = times[places].tolist()
            for place, key, value, stamp in zip(places.tolist(), keys, json_values(fields), stamps, strict=True):
                made[place] = Event(stream, key, value, stamp, stamp)
        return [made[place] for place in range(len(times))]
