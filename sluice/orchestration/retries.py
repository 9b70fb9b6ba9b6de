"""The rule for retries, the same on every task: it reads what kind of error a task raised, and nothing else."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from sluice.errors import TerminalError

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=TerminalError,
            action=RetryAction.FAIL,
            reason="trying again cannot help until somebody changes what the error names",
        )
    ],
    # Whatever else goes wrong is tried again by the arguments below: a TransientError says that it helps, and of an
    # error that nobody foresaw (a driver's, the operating system's) nobody knows that it does not.
    default=RetryAction.DEFAULT,
)

DEFAULT_ARGS: dict[str, Any] = {
    "retries": 4,
    # 10, 20, 40, 80 seconds; Airflow adds a jitter that differs per task and try, so that four loads which lost the
    # same server do not come back in the same second.
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=15),
}
"""``default_args`` of every DAG."""
