"""The sink, which a kill point ends: ``python -m tests.faults.killable_sink GROUP [POINT N]``.

It runs the sink's own ``main`` with a consumer group of its own and the shortest session that the broker allows, so
that the tests do not wait for each other. With a point it kills itself there (SIGKILL) when it passes it for the N-th
time:

- ``delta-commit``: a commit is in the lake, and nothing else has happened since;
- ``consumer-commit``: the consumer group's offsets are in Kafka.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import confluent_kafka

from sluice.lake.table import LakeTable
from sluice.sink import __main__ as program
from sluice.sink import consumer
from sluice.sink.consumer import KafkaSource

SESSION_SECONDS = 6
"""Kafka's ``group.min.session.timeout.ms`` is 6,000 unless a broker says otherwise."""
POINTS = ("delta-commit", "consumer-commit")


def killing(call: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The same function, which ends the process after it has returned for the N-th time."""
    left = times

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        result = call(*arguments, **named)
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def short_session(create: Callable[..., Any]) -> Callable[..., Any]:
    """A consumer that the group gives up after the shortest time."""

    def wrapped(configuration: dict[str, Any], **named: Any) -> Any:
        session = {"session.timeout.ms": SESSION_SECONDS * 1000, "heartbeat.interval.ms": 1000}
        return create(configuration | session, **named)

    return wrapped


def synchronous(commit_offsets: Callable[..., None]) -> Callable[..., None]:
    """Commits consumer offsets, and returns only when the broker has them."""

    def wrapped(source: KafkaSource, next_offsets: dict[Any, int]) -> None:
        commit_offsets(source, next_offsets)
        offsets = [
            confluent_kafka.TopicPartition(partition.stream, partition.partition, offset)
            for partition, offset in next_offsets.items()
        ]
        source._consumer.commit(offsets=offsets, asynchronous=False)

    return wrapped


def main() -> int:
    consumer.GROUP, *point = sys.argv[1:]
    consumer.Consumer = short_session(consumer.Consumer)
    if point:
        name, times = point
        if name == "delta-commit":
            LakeTable._write = killing(LakeTable._write, int(times))
        elif name == "consumer-commit":
            KafkaSource.commit_offsets = killing(synchronous(KafkaSource.commit_offsets), int(times))
        else:
            raise SystemExit(f"no such point: {name}; there are {', '.join(POINTS)}")
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
