"""A store that is down, slow, overloaded or loses responses only delays the sink."""

import pytest

from tests.faults.proxy import Fault, Request
from tests.faults.sink_harness import SinkHarness

THOROUGH = pytest.mark.thorough


def _data(request: Request) -> bool:
    return request.writes and not request.commits


def _commit(request: Request) -> bool:
    return request.commits


def _reads(request: Request) -> bool:
    return not request.writes


FAULTS = {
    "slow": lambda: Fault("delayed by 1 s", delay=1.0, times=20),
    "429": lambda: Fault("429", status=429, times=15),
    "500": lambda: Fault("500", status=500, times=15),
    "503": lambda: Fault("503", status=503, times=15),
    "reset": lambda: Fault("reset before the store", reset=True, times=15),
    "reads reset": lambda: Fault("reset of a read", _reads, reset=True, forwarded=True, times=15),
    "file response lost": lambda: Fault("lost response for a file", _data, reset=True, forwarded=True, times=5),
    "commit response lost": lambda: Fault("lost response for a commit", _commit, reset=True, forwarded=True, times=3),
    "commit made, response 503": lambda: Fault(
        "503 for a commit that was made", _commit, status=503, forwarded=True, times=3
    ),
    "commit made, response 500": lambda: Fault(
        "500 for a commit that was made", _commit, status=500, forwarded=True, times=3
    ),
    "commit delayed": lambda: Fault("commit delayed by 3 s", _commit, delay=3.0, times=2),
    "commit rejected": lambda: Fault("503 for a commit that was not made", _commit, status=503, times=8),
}
QUICK = {"503": (), "commit response lost": pytest.mark.essential}


@pytest.mark.parametrize("name", [pytest.param(name, marks=QUICK.get(name, THOROUGH)) for name in FAULTS])
def test_a_fault_of_the_store_only_delays_the_sink(harness: SinkHarness, name: str) -> None:
    harness.send(50)
    sink = harness.start()
    harness.stream.wait_for_lake()
    fault = FAULTS[name]()
    harness.proxy.inject(fault)
    with harness.load(count=20):
        harness.wait_for("the faults are used up", lambda: fault.times == 0)
    harness.stream.wait_for_lake()
    harness.stream.stop_sink(sink)
    harness.check("the same sink throughout")


def test_the_sink_waits_for_a_store_that_is_down(harness: SinkHarness) -> None:
    harness.send(50)
    sink = harness.start()
    harness.stream.wait_for_lake()
    with harness.load(count=20):
        for _ in range(2):
            failures = harness.logged().count("retrying in")
            harness.proxy.down()
            harness.wait_for("a commit fails", lambda before=failures: harness.logged().count("retrying in") > before)
            harness.proxy.up()
            offsets = harness.stream.next_offsets()
            harness.wait_for("the sink resumes", lambda before=offsets: harness.stream.next_offsets() != before)
    harness.stream.wait_for_lake()
    harness.stream.stop_sink(sink)
    harness.check("store down twice, the same sink throughout")


@THOROUGH
def test_the_sink_exits_with_one_line_if_the_store_is_down_at_its_start(harness: SinkHarness) -> None:
    harness.send(50)
    harness.proxy.down()
    sink = harness.start()
    assert sink.wait(timeout=120) == 1
    lines = harness.logged().strip().splitlines()
    assert lines[-1].startswith("sluice sink: MinIO at "), lines
    assert "Traceback" not in harness.logged()
    harness.proxy.up()
    harness.land()
    harness.check("store down at the first start")
