"""The retry policy: terminal errors fail at once, all others are retried with exponential backoff."""

from airflow.sdk import RetryAction

from sluice.errors import TerminalError, TransientError
from sluice.orchestration.rest import NotFoundError
from sluice.orchestration.retries import DEFAULT_ARGS, RETRY_POLICY


def action(error: BaseException) -> RetryAction:
    return RETRY_POLICY.evaluate(error, try_number=1, max_tries=4).action


def test_a_terminal_error_and_its_subclasses_fail_at_once() -> None:
    assert action(TerminalError("a contract is wrong")) is RetryAction.FAIL
    assert action(NotFoundError("no such run")) is RetryAction.FAIL


def test_a_transient_error_is_retried_with_backoff() -> None:
    assert action(TransientError("the server is starting")) is RetryAction.DEFAULT


def test_an_unforeseen_error_is_retried() -> None:
    assert action(OSError("no such device")) is RetryAction.DEFAULT
    assert action(KeyError("x")) is RetryAction.DEFAULT


def test_the_delay_grows_up_to_a_limit() -> None:
    assert DEFAULT_ARGS["retry_exponential_backoff"] > 1
    assert DEFAULT_ARGS["retry_delay"] < DEFAULT_ARGS["max_retry_delay"]
    assert DEFAULT_ARGS["retries"] >= 3
