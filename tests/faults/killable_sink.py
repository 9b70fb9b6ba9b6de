"""The sink with kill points: ``python -m tests.faults.killable_sink GROUP [POINT N]``.

It runs the sink's ``main`` with its own consumer group and the shortest session timeout that the broker allows, so that
tests do not wait for each other. With a kill point it sends itself SIGKILL when it reaches the point for the Nth time:

- ``delta-commit``: right after a commit is in the lake;
- ``consumer-commit``: right after the consumer group's offsets are in Kafka.
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
"""Kafka's default of ``group.min.session.timeout.ms``."""
POINTS = ("delta-commit", "consumer-commit")


def kill_after(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """Wraps a function so that the process kills itself after the function has returned for the Nth time."""
    left = times

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        result = function(*args, **kwargs)
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def short_session(create: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the consumer's constructor to use the shortest session timeout."""

    def wrapped(configuration: dict[str, Any], **kwargs: Any) -> Any:
        session = {"session.timeout.ms": SESSION_SECONDS * 1000, "heartbeat.interval.ms": 1000}
        return create(configuration | session, **kwargs)

    return wrapped


def synchronous(commit_offsets: Callable[..., None]) -> Callable[..., None]:
    """Wraps the commit of consumer offsets to return only when the broker has them."""

    def wrapped(source: KafkaSource, next_offsets: dict[Any, int]) -> None:
        commit_offsets(source, next_offsets)
        offsets = [
            confluent_kafka.TopicPartition(partition.stream, partition.partition, offset)
            for partition, offset in next_offsets.items()
        ]
        source._consumer.commit(offsets=offsets, asynchronous=False)

    return wrapped


def main() -> int:
    group, *point = sys.argv[1:]
    program.sink_group = lambda *_: group
    consumer.Consumer = short_session(consumer.Consumer)
    if point:
        name, times = point
        if name == "delta-commit":
            LakeTable._write = kill_after(LakeTable._write, int(times))
        elif name == "consumer-commit":
            KafkaSource.commit_offsets = kill_after(synchronous(KafkaSource.commit_offsets), int(times))
        else:
            raise SystemExit(f"unknown kill point: {name}; choose from {', '.join(POINTS)}")
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
