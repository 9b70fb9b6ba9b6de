"""A sink that is killed after any file, any commit or any consumer commit loses and doubles nothing.

Records of each batch lie on three dates. The first objects a new sink writes are the table's version 0, then, for
each commit, a file per date and the commit itself.
"""

import signal
import subprocess

import pytest

from tests.faults.killable_sink import POINTS
from tests.faults.proxy import Fault, Request
from tests.faults.watched import Watched

THOROUGH = pytest.mark.thorough


def _writes(request: Request) -> bool:
    return request.writes


def _selected(points: list[int], selection: set[int]) -> list[object]:
    return [n if n in selection else pytest.param(n, marks=THOROUGH) for n in points]


def _killed_under_load(watched: Watched, sink: "subprocess.Popen[bytes]") -> None:
    with watched.load():
        assert sink.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "told"),
    [
        pytest.param(number, told, marks=[] if (number, told) in {(3, False), (5, False)} else THOROUGH)
        for number in range(1, 11)
        for told in (False, True)
    ],
)
def test_killed_after_the_nth_file(watched: Watched, number: int, told: bool) -> None:
    """``told``: the sink has the store's answer when it is killed."""
    watched.send(200)
    sinks: list[subprocess.Popen[bytes]] = []
    name = f"kill after file {number}, {'with' if told else 'without'} its answer"
    kill = {"before_close" if told else "after": lambda: watched.kill(sinks[0])}
    watched.proxy.inject(Fault(name, _writes, skip=number - 1, times=1, **kill))
    sinks.append(watched.start())
    _killed_under_load(watched, sinks[0])
    assert watched.proxy.injected[name] == 1
    watched.land()
    watched.check(f"{watched.proxy.written} files written in all")


@pytest.mark.parametrize("number", _selected([1, 2, 3, 4, 5], {2}))
@pytest.mark.parametrize("point", POINTS)
def test_killed_after_the_nth_commit(watched: Watched, point: str, number: int) -> None:
    watched.send(200)
    _killed_under_load(watched, watched.start(point, number))
    watched.land()
    watched.check(f"killed after {point} {number}")


@THOROUGH
def test_killed_again_and_again(watched: Watched) -> None:
    """Each start is killed a little later than the one before."""
    for number in range(1, 7):
        watched.proxy.inject()
        sink = watched.start(POINTS[number % 2], number)
        _killed_under_load(watched, sink)
    watched.land()
    watched.check("killed 6 times, at commits 1 to 6 after the start")
