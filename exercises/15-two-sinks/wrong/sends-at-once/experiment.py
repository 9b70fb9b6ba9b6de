"""Two sinks share a topic, and one of them is killed while records flow."""

import signal

from exercises.grading.sinks import wait_until
from exercises.grading.stream import ScratchStream
from exercises.grading.topic import Record

BATCH = 20
"""Records that are sent at once: so few that the kill comes between two batches."""


def run(stream: ScratchStream, records: list[Record]) -> None:
    """Sends all records once, in their order, and returns when all of them are in the lake."""
    survivor, victim = stream.start_sink(), stream.start_sink()
    sinks = (survivor, victim)
    everything = set(range(stream.partitions))

    def shared() -> bool:
        mine, other = (sink.partitions() for sink in sinks)
        return bool(mine) and bool(other) and not mine & other and mine | other == everything

    half = len(records) // 2
    stream.send(records[:half])
    wait_until(shared, "both sinks have some of the partitions, and together all")
    wait_until(lambda: not any(stream.lag().values()), "the first half is in the lake")
    for start in range(half, len(records), BATCH):
        stream.send(records[start : start + BATCH])
        if victim.is_running:
            partitions = victim.partitions()
            # Suspended, it commits nothing between this look and the kill.
            victim.process.send_signal(signal.SIGSTOP)
            lag = stream.lag()
            if any(lag[partition] for partition in partitions):
                victim.kill()
            else:
                victim.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not any(stream.lag().values()), "the survivor has committed everything")
    survivor.stop()
