"""A store that is down, slow, overloaded, or whose answers are lost, delays the sink and nothing else."""

import pytest

from tests.faults.proxy import Fault, Request
from tests.faults.watched import Watched

THOROUGH = pytest.mark.thorough


def _data(request: Request) -> bool:
    return request.writes and not request.commits


def _commit(request: Request) -> bool:
    return request.commits


def _reads(request: Request) -> bool:
    return not request.writes


FAULTS = {
    "slow": lambda: Fault("1 s late", delay=1.0, times=20),
    "429": lambda: Fault("429", status=429, times=15),
    "500": lambda: Fault("500", status=500, times=15),
    "503": lambda: Fault("503", status=503, times=15),
    "reset": lambda: Fault("reset before the store", reset=True, times=15),
    "reads reset": lambda: Fault("reset of a read", _reads, reset=True, forwarded=True, times=15),
    "file answer lost": lambda: Fault("lost answer of a file", _data, reset=True, forwarded=True, times=5),
    "commit answer lost": lambda: Fault("lost answer of a commit", _commit, reset=True, forwarded=True, times=3),
    "commit answered 503": lambda: Fault("503 for a commit made", _commit, status=503, forwarded=True, times=3),
    "commit answered 500": lambda: Fault("500 for a commit made", _commit, status=500, forwarded=True, times=3),
    "commit late": lambda: Fault("commit 3 s late", _commit, delay=3.0, times=2),
    "commit refused": lambda: Fault("503 for a commit not made", _commit, status=503, times=8),
}
SELECTION = {"503", "commit answer lost"}


@pytest.mark.parametrize("name", [n if n in SELECTION else pytest.param(n, marks=THOROUGH) for n in FAULTS])
def test_a_fault_of_the_store_delays_the_sink_and_nothing_else(watched: Watched, name: str) -> None:
    watched.send(50)
    sink = watched.start()
    watched.stream.wait_for_lake()
    fault = FAULTS[name]()
    watched.proxy.inject(fault)
    with watched.load(count=20):
        watched.wait_for("the faults are used up", lambda: fault.times == 0)
    watched.stream.wait_for_lake()
    watched.stream.stop_sink(sink)
    watched.check("the same sink all the while")


def test_a_store_that_is_down_is_waited_for(watched: Watched) -> None:
    watched.send(50)
    sink = watched.start()
    watched.stream.wait_for_lake()
    with watched.load(count=20):
        for _ in range(2):
            failures = watched.logged().count("tried again in")
            watched.proxy.down()
            watched.wait_for("a commit fails", lambda seen=failures: watched.logged().count("tried again in") > seen)
            watched.proxy.up()
            heads = watched.stream.next_offsets()
            watched.wait_for("the sink goes on", lambda seen=heads: watched.stream.next_offsets() != seen)
    watched.stream.wait_for_lake()
    watched.stream.stop_sink(sink)
    watched.check("store down twice, the same sink all the while")


@THOROUGH
def test_a_store_that_is_down_when_the_sink_starts_ends_it_with_one_line(watched: Watched) -> None:
    watched.send(50)
    watched.proxy.down()
    sink = watched.start()
    assert sink.wait(timeout=120) == 1
    said = watched.logged().strip().splitlines()
    assert said[-1].startswith("sluice sink: MinIO at "), said
    assert "Traceback" not in watched.logged()
    watched.proxy.up()
    watched.land()
    watched.check("store down at the first start")
