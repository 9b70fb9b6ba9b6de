"""Whatever happens to the consumer group, its offsets, the broker or the topic: the lake says where to go on."""

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from infra.servers.services import KAFKA
from infra.supervision.platform import Platform
from sluice.kafka import topics
from tests.faults.watched import Watched

THOROUGH = pytest.mark.thorough
END = 100_050
"""Where Kafka begins once the records of a long sleep are deleted: beyond what a consumer has fetched ahead."""


def test_a_sink_that_was_suspended_past_its_session_does_no_harm_when_it_wakes(watched: Watched) -> None:
    """Another takes over while it sleeps; it wakes with records in its buffers that are in the lake by then."""
    with watched.load():
        first = watched.start()
        watched.wait_for("the first sink commits", lambda: " commit stream=" in watched.logged())
        # Half a batch later, so that it has something in its buffers.
        watched.wait_for("it has more", lambda: _behind(watched))
        os.kill(first.pid, signal.SIGSTOP)
        try:
            heads = watched.stream.next_offsets()
            second = watched.start()
            watched.wait_for(
                "the second has taken over every partition",
                lambda: all(head > heads[place] for place, head in watched.stream.next_offsets().items()),
            )
        finally:
            os.kill(first.pid, signal.SIGCONT)
        count = watched.logged().count("assigned ")
        watched.wait_for("the first is in the group again", lambda: watched.logged().count("assigned ") > count)
    watched.stream.wait_for_lake()
    refused = watched.logged().count("was taken over")
    assert first.poll() is None and second.poll() is None
    watched.stream.stop_sink(first)
    watched.stream.stop_sink(second)
    watched.check(f"suspended past its session, {refused} partitions' batches refused when it woke")


@pytest.mark.parametrize("members", [3, pytest.param(20, marks=THOROUGH)])
def test_sinks_that_come_and_go_every_two_seconds_under_load(
    make_watched: Callable[..., Watched], members: int
) -> None:
    """Every two seconds one joins and another leaves; every third is killed."""
    watched = make_watched(partitions=4)
    rhythm = threading.Event()
    others: list[subprocess.Popen[bytes]] = []
    with watched.load():
        always = watched.start()
        for number in range(members + 2):
            if number < members:
                others.append(watched.start())
            # What is tested is this rhythm; it stands for no health check.
            rhythm.wait(2)
            if number >= 2:
                leaving = others[number - 2]
                if number % 3 == 2:
                    watched.kill(leaving)
                else:
                    watched.stop(leaving)
        assert always.poll() is None
    watched.stream.wait_for_lake()
    watched.stream.stop_sink(always)
    ended = Counter(other.returncode for other in others)
    # One that was ended before it could say that it wants to stop in order ends by the signal.
    assert set(ended) <= {0, -signal.SIGTERM, -signal.SIGKILL}, ended
    watched.check(f"{members} members joined and left, {ended[-signal.SIGKILL]} of them killed")


@THOROUGH
def test_a_broker_that_is_killed_and_restarted(watched: Watched, environment_file: Path) -> None:
    platform = Platform(watched.stream.settings, environment_file)
    watched.keep_running()
    with watched.load(count=20):
        watched.wait_for("the first commit", lambda: " commit stream=" in watched.logged())
        broker = platform.supervisor.state("kafka")["pid"]
        os.kill(broker, signal.SIGKILL)
        watched.wait_for(
            "the broker is back",
            lambda: (
                platform.supervisor.state("kafka")["pid"] not in (0, broker)
                and KAFKA.healthy(watched.stream.settings) is None
            ),
        )
        heads = watched.stream.next_offsets()
        watched.wait_for("the lake goes on", lambda: watched.stream.next_offsets() != heads)
    watched.stream.wait_for_lake()
    watched.stop_keeping()
    assert "Traceback" not in watched.logged()
    watched.check("broker killed once")


@pytest.mark.parametrize(
    "change", [pytest.param("deleted", marks=THOROUGH), pytest.param("rewound", marks=THOROUGH), "advanced"]
)
def test_consumer_offsets_that_lie_change_nothing(watched: Watched, change: str) -> None:
    watched.send(100)
    watched.land()
    places = [TopicPartition(watched.stream.name, partition) for partition in watched.partitions]
    with topics.admin(watched.stream.settings) as admin:
        held = admin.list_group_offsets(watched.group)[watched.group]
        assert {held[place].offset for place in places} == {100}
        if change == "deleted":
            admin.delete_group_offsets(watched.group, places)
        else:
            # Before the head, where everything is in the lake, or far beyond what Kafka will have.
            lie = OffsetAndMetadata(3 if change == "rewound" else 10_000, "", -1)
            admin.alter_group_offsets(watched.group, dict.fromkeys(places, lie))
    watched.send(100)
    watched.land()
    watched.check(f"consumer offsets {change}")


@pytest.mark.parametrize("more", [pytest.param(False, marks=THOROUGH), True])
def test_a_topic_that_is_deleted_and_created_again_while_the_sink_runs(watched: Watched, more: bool) -> None:
    """``more``: the new topic has more records than the old one had, so that the old head means something in it."""
    watched.keep_running()
    watched.send(100)
    watched.stream.wait_for_lake()
    old = watched.stream.next_offsets()
    with topics.admin(watched.stream.settings) as admin:
        admin.delete_topics([watched.stream.name])
        watched.wait_for("the topic is gone", lambda: watched.stream.name not in admin.list_topics())
    topics.provision(watched.stream.settings, {watched.stream.name: watched.stream.contract})
    watched.sent.clear()
    watched.send(250 if more else 40)
    watched.stream.wait_for_lake()
    watched.stop_keeping()
    assert "Traceback" not in watched.logged()
    watched.check("topic made again while the sink ran", before=old)


def test_records_that_kafka_deleted_before_they_were_in_the_lake_halt_the_sink(watched: Watched) -> None:
    watched.send(100)
    watched.land()
    watched.send(100)
    before = watched.stream.next_offsets()
    place = TopicPartition(watched.stream.name, 1)
    with topics.admin(watched.stream.settings) as admin:
        admin.delete_records({place: 150})
    for _ in range(2):
        log = len(watched.logged())
        sink = watched.start()
        assert sink.wait(timeout=60) == 1
        said = [line for line in watched.logged()[log:].splitlines() if line.startswith("sluice sink: ")]
        assert len(said) == 1
        assert f"{watched.stream.name}/1: offsets 100 to 149 are lost" in said[0]
    assert "Traceback" not in watched.logged()
    assert watched.stream.next_offsets() == before
    watched.say("50 offsets deleted past the head: two starts end with 1 and one line each, the lake is as it was")


@THOROUGH
def test_records_that_kafka_deletes_while_the_sink_sleeps_halt_it(watched: Watched) -> None:
    sink = watched.start()
    watched.send(100)
    watched.stream.wait_for_lake()
    os.kill(sink.pid, signal.SIGSTOP)
    try:
        watched.send(100_000)
        with topics.admin(watched.stream.settings) as admin:
            admin.delete_records({TopicPartition(watched.stream.name, 1): END})
    finally:
        os.kill(sink.pid, signal.SIGCONT)
    assert sink.wait(timeout=90) == 1
    again = watched.start()
    assert again.wait(timeout=90) == 1
    assert f"{watched.stream.name}/1: offsets " in watched.logged().splitlines()[-1]
    assert "are lost" in watched.logged().splitlines()[-1]
    assert "Traceback" not in watched.logged()
    watched.say(
        "deleted while the sink slept: it ends, and its next start says what is lost: "
        + watched.logged().splitlines()[-1]
    )


def _behind(watched: Watched) -> bool:
    """Whether Kafka has more than the lake."""
    heads = watched.stream.next_offsets()
    return any(
        held.end > heads[held.topic_id, held.partition] + 100
        for held in topics.kafka_ranges(watched.stream.settings, [watched.stream.name])
    )
