import threading

import pytest

from infra.processes.steps import Step, run_steps, select
from sluice.errors import SluiceError


def recording_step(done: list[str], name: str, *needs: str) -> Step:
    return Step(name, lambda _: done.append(name), needs)


def test_a_step_runs_after_all_it_needs() -> None:
    done: list[str] = []
    run_steps([recording_step(done, "c", "a", "b"), recording_step(done, "b", "a"), recording_step(done, "a")], print)
    assert done == ["a", "b", "c"]


def test_independent_steps_run_in_parallel() -> None:
    barrier = threading.Barrier(2, timeout=60)

    def wait(_: threading.Event) -> None:
        barrier.wait()

    run_steps([Step("a", wait), Step("b", wait)], print)


def test_a_failed_step_cancels_the_others_and_its_error_is_raised() -> None:
    cancelled_early = threading.Event()
    done: list[str] = []

    def long(cancelled: threading.Event) -> None:
        if cancelled.wait(60):
            cancelled_early.set()

    def fail(_: threading.Event) -> None:
        raise SluiceError("no disk")

    with pytest.raises(SluiceError, match="no disk"):
        run_steps([Step("long", long), Step("fail", fail), recording_step(done, "after", "fail")], print)
    assert cancelled_early.is_set()
    assert done == []


@pytest.mark.parametrize("needs", [("b",), ("nothing",)])
def test_steps_that_can_never_start_are_reported_before_any_step_starts(needs: tuple[str, ...]) -> None:
    done: list[str] = []
    steps = [recording_step(done, "a", *needs), recording_step(done, "b", "a"), recording_step(done, "free")]
    with pytest.raises(SluiceError, match="a needs"):
        run_steps(steps, print)
    assert done == []


def test_a_result_is_reported_with_its_duration_and_a_step_without_result_is_not_reported() -> None:
    lines: list[str] = []
    run_steps([Step("kafka", lambda _: "healthy"), Step("java", lambda _: None)], lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("kafka: healthy (0.")


def test_select_returns_the_goals_and_their_needs_only() -> None:
    done: list[str] = []
    steps = [
        recording_step(done, "a"),
        recording_step(done, "b", "a"),
        recording_step(done, "c", "b"),
        recording_step(done, "d", "a"),
    ]
    assert {step.name for step in select(steps, ["b"])} == {"a", "b"}
