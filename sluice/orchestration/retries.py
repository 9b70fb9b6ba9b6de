"""The arguments of tasks: their priority, and a retry policy by the class of the error that a task raised."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from sluice.errors import TerminalError

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=TerminalError,
            action=RetryAction.FAIL,
            reason="a retry cannot help until an operator fixes the cause",
        )
    ],
    # All other errors are retried with the arguments below: a retry helps after a TransientError, and it may help after
    # an unforeseen error (of a driver, of the operating system).
    default=RetryAction.DEFAULT,
)

DEFAULT_ARGS: dict[str, Any] = {
    "retries": 4,
    # 10, 20, 40, 80 seconds. Airflow adds a jitter per task and attempt, so that four loads which lost the same server
    # do not retry in the same second.
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=15),
}
"""``default_args`` of every DAG."""

FIRST: dict[str, Any] = {"priority_weight": 10}
"""Arguments of the tasks that bring new data to the marts: they start before checks and maintenance, which have 1."""
