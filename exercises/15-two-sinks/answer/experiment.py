"""Two sinks share a topic, and one of them is killed while records flow."""

from exercises.grading.sinks import Sink, wait_until
from exercises.grading.stream import ScratchStream
from exercises.grading.topic import Record


def run(stream: ScratchStream, records: list[Record]) -> None:
    """Sends all records once, in their order, and returns when all of them are in the lake."""
    sink: Sink = stream.start_sink()
    wait_until(lambda: len(sink.partitions()) == stream.partitions, "the sink reads every partition")
    stream.send(records)
    wait_until(lambda: not any(stream.lag().values()), "everything is in the lake")
