"""Runs a learner's experiment in a process of its own: ``run_experiment.py FOLDER RECORDS RESULT``.

The files are JSON. What the experiment does is recorded, and judged by ``check.py``.
"""

import importlib
import json
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from run_verifier import Sent, end_with, verify

from exercises.grading.stream import ScratchStream
from exercises.grading.topic import Record
from sluice.settings import Settings, load_settings

_SAMPLE_SECONDS = 0.2


class ObservedStream(ScratchStream):
    """A stream that records what is sent, and which partitions each sink has."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sent: Sent = {partition: [] for partition in range(self.partitions)}
        self.sends: list[tuple[float, dict[int, int]]] = []
        """When Kafka had records, in seconds since 1970, and the end of each partition then."""
        self.at_first_send: list[list[int]] = []
        """The same when the first records were sent."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._observe, daemon=True)
        self._thread.start()

    def send(self, records: Iterable[Record]) -> list[int]:
        """Sends records, and records that."""
        records = list(records)
        if not self.sends:
            self.at_first_send = self._partitions()
        offsets = super().send(records)
        for record in records:
            self.sent[record.partition].append(record.value or b"")
        self.sends.append((time.time(), {partition: len(values) for partition, values in self.sent.items()}))
        return offsets

    def finish(self) -> None:
        """Stops to observe."""
        self._stopping.set()
        self._thread.join()

    def samples(self) -> list[tuple[float, list[list[int]]]]:
        """Returns the partitions of each sink, by the order in which they were started, after each look at one.

        Looks are those of the experiment, too: it may go on at once when the sinks share the partitions.
        """
        looks = [(at, number, found) for number, sink in enumerate(self.sinks) for at, found in sink.readings]
        latest: list[list[int]] = [[] for _ in self.sinks]
        samples = []
        for at, number, found in sorted(looks, key=lambda look: look[:2]):
            latest[number] = sorted(found)
            samples.append((at, list(latest)))
        return samples

    def _observe(self) -> None:
        while not self._stopping.wait(_SAMPLE_SECONDS):
            self._partitions()

    def _partitions(self) -> list[list[int]]:
        return [sorted(sink.partitions()) if sink.is_running else [] for sink in self.sinks]


def experiment(records: list[Record]) -> dict[str, Any]:
    """Runs the learner's experiment, then the learner's verifier; returns what happened."""
    stream = ObservedStream(load_settings())
    importlib.import_module("experiment").run(stream, records)
    stream.finish()
    codes = [sink.process.poll() for sink in stream.sinks]
    killed = [sink.killed_at for sink in stream.sinks]
    # Whatever still runs writes nothing more.
    for sink in stream.sinks:
        sink.kill()
    return {
        "codes": codes,
        "killed_at": killed,
        "sends": stream.sends,
        "samples": stream.samples(),
        "at_first_send": stream.at_first_send,
        "faults": verify(stream.table_uri, stream.storage_options, stream.sent),
    }


def main(folder: str, source: str, target: str) -> NoReturn:
    """Runs the experiment, and writes what happened."""
    sys.path.insert(0, folder)
    records = [Record(bytes.fromhex(value), partition) for partition, value in json.loads(Path(source).read_text())]
    end_with(target, experiment(records))


if __name__ == "__main__":
    main(*sys.argv[1:4])
