"""The rule for retries: terminal errors fail at once, everything else is tried again after a growing delay."""

from airflow.sdk import RetryAction

from sluice.errors import TerminalError, TransientError
from sluice.orchestration.rest import NotThereError
from sluice.orchestration.retries import DEFAULT_ARGS, RETRY_POLICY


def action(error: BaseException) -> RetryAction:
    return RETRY_POLICY.evaluate(error, try_number=1, max_tries=4).action


def test_a_terminal_error_fails_at_once_and_so_do_its_kinds() -> None:
    assert action(TerminalError("a contract is wrong")) is RetryAction.FAIL
    assert action(NotThereError("nothing there")) is RetryAction.FAIL


def test_a_transient_error_is_left_to_the_growing_delay() -> None:
    assert action(TransientError("the server is starting")) is RetryAction.DEFAULT


def test_an_error_that_nobody_foresaw_is_tried_again() -> None:
    assert action(OSError("no such device")) is RetryAction.DEFAULT
    assert action(KeyError("x")) is RetryAction.DEFAULT


def test_the_delay_grows_and_has_a_ceiling() -> None:
    assert DEFAULT_ARGS["retry_exponential_backoff"] > 1
    assert DEFAULT_ARGS["retry_delay"] < DEFAULT_ARGS["max_retry_delay"]
    assert DEFAULT_ARGS["retries"] >= 3
