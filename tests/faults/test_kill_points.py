"""A sink killed after any file, commit or consumer commit loses and duplicates nothing.

The records of a batch are spread over three dates. A new sink first writes the table's version 0, then, per commit, one
file per date and the commit itself.
"""

import signal
import subprocess

import pytest

from tests.faults.killable_sink import POINTS
from tests.faults.proxy import Fault, Request
from tests.faults.sink_harness import SinkHarness

THOROUGH = pytest.mark.thorough


def _writes(request: Request) -> bool:
    return request.writes


def _mark_thorough(numbers: list[int], quick: set[int]) -> list[object]:
    return [number if number in quick else pytest.param(number, marks=THOROUGH) for number in numbers]


QUICK = {(3, False): [pytest.mark.essential], (5, False): []}


def _wait_until_killed(harness: SinkHarness, sink: "subprocess.Popen[bytes]") -> None:
    with harness.load():
        assert sink.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "responded"),
    [
        pytest.param(number, responded, marks=QUICK.get((number, responded), THOROUGH))
        for number in range(1, 11)
        for responded in (False, True)
    ],
)
def test_killed_after_the_nth_file(harness: SinkHarness, number: int, responded: bool) -> None:
    """``responded``: the sink has the store's response when it is killed."""
    harness.send(200)
    sinks: list[subprocess.Popen[bytes]] = []
    name = f"kill after file {number}, {'with' if responded else 'without'} its response"
    kill = {"before_close" if responded else "after": lambda: harness.kill(sinks[0])}
    harness.proxy.inject(Fault(name, _writes, skip=number - 1, times=1, **kill))
    sinks.append(harness.start())
    _wait_until_killed(harness, sinks[0])
    assert harness.proxy.injected[name] == 1
    harness.land()
    harness.check(f"{harness.proxy.written} files written in total")


@pytest.mark.parametrize("number", _mark_thorough([1, 2, 3, 4, 5], {2}))
@pytest.mark.parametrize("point", [pytest.param(POINTS[0], marks=pytest.mark.essential), *POINTS[1:]])
def test_killed_after_the_nth_commit(harness: SinkHarness, point: str, number: int) -> None:
    harness.send(200)
    _wait_until_killed(harness, harness.start(point, number))
    harness.land()
    harness.check(f"killed after {point} {number}")


@THOROUGH
def test_killed_repeatedly(harness: SinkHarness) -> None:
    """Every start is killed a little later than the one before."""
    for number in range(1, 7):
        harness.proxy.inject()
        sink = harness.start(POINTS[number % 2], number)
        _wait_until_killed(harness, sink)
    harness.land()
    harness.check("killed 6 times, at commits 1 to 6 after the start")
