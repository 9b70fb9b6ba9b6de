"""The live view on a complete platform: killed three times while it reads a month, it equals the marts."""

import os
import signal

from infra.servers import probes
from sluice.kafka.topics import kafka_ranges
from sluice.warehouse import connect
from tests.fixtures import truth
from tests.fixtures.live import BATCH
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

STREAMS = ["flights.departed", "flights.cancelled"]


def _consumed(platform: Running) -> int:
    return int(platform.query("select coalesce(sum(next_offset), 0) from live.partitions").iloc[0, 0])


def _wait_until_consumed(platform: Running, offsets: int) -> None:
    def partitions() -> object:
        return platform.query("select * from live.partitions")

    wait(f"{offsets} offsets consumed", lambda: _consumed(platform) >= offsets, every=0.02, detail=partitions)


def test_killed_three_times_while_it_reads_january_the_live_view_equals_the_marts(platform: Running) -> None:
    supervisor = platform.services().supervisor
    end = sum(partition.end for partition in kafka_ranges(platform.settings, {stream: stream for stream in STREAMS}))
    supervisor.stop("live")
    with connect(platform.settings, "postgres") as postgres:
        postgres.execute("truncate live.flights, live.partitions")
    supervisor.start("live")
    for share in (0.05, 0.3, 0.6):
        _wait_until_consumed(platform, int(share * end))
        os.kill(supervisor.state("live")["pid"], signal.SIGKILL)
    _wait_until_consumed(platform, end)
    wait("the live view's health", lambda: probes.live(platform.settings) is None)
    expected = platform.query(BATCH)
    assert len(expected) > 1_500
    live = platform.query("select * from live.airport_hours")
    closed = live.merge(expected[["origin", "hour"]])
    truth.assert_equal(closed, expected, ["origin", "hour"])
    # The live view has no additional hour on these dates.
    assert live["hour"].dt.date.isin(expected["hour"].dt.date).sum() == len(expected)
