"""A first launch that is interrupted at any point and repeated: Kafka has every event of its months exactly once."""

import signal
import threading
from collections.abc import Iterator
from datetime import date

import psutil
import pytest

from infra.launch import first_data
from infra.processes.commands import InterruptedRunError, LoggedError
from infra.supervision.platform import Platform
from producers.flights.timeline import Timeline
from producers.resume import digest, read_sent
from sluice.contracts import load_contracts, topic_names
from sluice.kafka.topics import kafka_ranges, provision
from sluice.settings import Settings
from tests.fixtures.servers import new_environment_file
from tests.fixtures.waiting import wait


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Kafka that has only this test's events."""
    file = new_environment_file(tmp_path_factory.mktemp("resumed"))
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    platform = Platform(settings, file)
    try:
        platform.start(["kafka"])
        provision(settings, load_contracts(settings.contracts))
        yield settings
    finally:
        platform.stop()


def test_an_interrupted_replay_resumes_without_a_duplicate(kafka: Settings) -> None:
    contracts = load_contracts(kafka.contracts)
    timeline = Timeline(contracts, date(2013, 1, 1), date(2013, 1, 31))
    topics = topic_names({stream: contracts[stream] for stream in timeline.streams})

    def in_kafka() -> int:
        return sum(found.end - found.start for found in kafka_ranges(kafka, topics))

    counts = [0]
    for attempt, share in enumerate((0.01, 0.2)):
        cancelled, errors = threading.Event(), list[BaseException]()
        launch = threading.Thread(target=_interrupted, args=(kafka, cancelled, errors))
        launch.start()
        wait(
            "a part of the events in Kafka",
            lambda least=share: in_kafka() > max(counts[-1], least * len(timeline)),
            every=0.02,
        )
        if attempt == 1:
            _kill_producer(kafka)
        else:
            # As Ctrl-C does.
            cancelled.set()
        launch.join(timeout=60)
        if not errors:
            # The machine was quicker than the interruption.
            break
        assert isinstance(errors[0], LoggedError if attempt == 1 else InterruptedRunError)
        counts.append(in_kafka())
    assert 0 < counts[1] < len(timeline)

    report = _replay(kafka, 1)
    assert report.startswith("resumed: ")
    assert in_kafka() == len(timeline)
    expected = {digest(event.stream, event.key, event.value) for batch in timeline.batches() for event in batch}
    assert read_sent(kafka, topics) == expected
    assert len(expected) == len(timeline)
    # Late in the launch: all is sent, but the launch is not recorded.
    assert _replay(kafka, 1).startswith(f"resumed: 0 of {len(timeline):,} events sent")
    assert in_kafka() == len(timeline)


def test_a_launch_with_more_months_sends_only_the_others(kafka: Settings) -> None:
    contracts = load_contracts(kafka.contracts)
    _replay(kafka, 1)
    _replay(kafka, 2)
    timeline = Timeline(contracts, date(2013, 1, 1), date(2013, 2, 28))
    topics = topic_names({stream: contracts[stream] for stream in timeline.streams})
    assert sum(found.end - found.start for found in kafka_ranges(kafka, topics)) == len(timeline)


def _replay(settings: Settings, months: int) -> str:
    return first_data.replay(settings, months, threading.Event(), print)


def _interrupted(settings: Settings, cancelled: threading.Event, errors: list[BaseException]) -> None:
    try:
        first_data.replay(settings, 1, cancelled, print)
    except (InterruptedRunError, LoggedError) as error:
        errors.append(error)


def _kill_producer(settings: Settings) -> None:
    producers = [child for child in psutil.Process().children(recursive=True) if "producers" in child.cmdline()]
    assert producers
    for producer in producers:
        producer.send_signal(signal.SIGKILL)
