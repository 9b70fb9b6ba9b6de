import threading
import time

import pytest

from infra.processes.steps import Step, run_steps, select
from sluice.errors import SluiceError


def noting(done: list[str], name: str, *needs: str) -> Step:
    return Step(name, lambda _: done.append(name), needs)


def test_a_step_runs_after_all_it_needs() -> None:
    done: list[str] = []
    run_steps([noting(done, "c", "a", "b"), noting(done, "b", "a"), noting(done, "a")], print)
    assert done == ["a", "b", "c"]


def test_steps_that_need_nothing_of_each_other_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=5)

    def meet(_: threading.Event) -> None:
        meeting.wait()

    run_steps([Step("a", meet), Step("b", meet)], print)


def test_a_failure_ends_the_others_and_is_raised() -> None:
    given_up = threading.Event()
    done: list[str] = []

    def long(cancelled: threading.Event) -> None:
        if cancelled.wait(10):
            given_up.set()

    def fail(_: threading.Event) -> None:
        raise SluiceError("no disk")

    start = time.monotonic()
    with pytest.raises(SluiceError, match="no disk"):
        run_steps([Step("long", long), Step("fail", fail), noting(done, "after", "fail")], print)
    assert given_up.is_set()
    assert done == []
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("needs", [("b",), ("nothing",)])
def test_steps_that_can_never_start_are_named_before_any_starts(needs: tuple[str, ...]) -> None:
    done: list[str] = []
    steps = [noting(done, "a", *needs), noting(done, "b", "a"), noting(done, "free")]
    with pytest.raises(SluiceError, match="a needs"):
        run_steps(steps, print)
    assert done == []


def test_what_a_step_says_is_reported_with_its_time_and_silence_is_not() -> None:
    lines: list[str] = []
    run_steps([Step("kafka", lambda _: "healthy"), Step("java", lambda _: None)], lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("kafka: healthy (0.")


def test_select_takes_what_the_goals_need_and_no_more() -> None:
    done: list[str] = []
    steps = [noting(done, "a"), noting(done, "b", "a"), noting(done, "c", "b"), noting(done, "d", "a")]
    assert {step.name for step in select(steps, ["b"])} == {"a", "b"}
