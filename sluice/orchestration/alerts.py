"""Alerts from tasks, and from Airflow's deadlines."""

from collections.abc import Collection, Mapping

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from sluice.orchestration.credentials import settings_as

WEBHOOK = "alert_webhook"
"""The connection whose host, a whole address, is told of alerts, if there is one."""


def sync_and_notify(kind: str, found: Mapping[str, str], among: Collection[str] | None = None) -> None:
    """Makes the open alerts of a kind those that were found, and tells what changed.

    Args:
        kind, found, among: as ``sync_alerts`` has them.

    Raises:
        TransientError, TerminalError: Postgres does not answer, or refuses.
    """
    from sluice.alerts import notify, sync_alerts

    notify(sync_alerts(settings_as("loader"), kind, found, among), _webhook())


def load_is_overdue(stream: str, minutes: int) -> None:
    """Called by Airflow when a load has not ended this long after it was due. The next load that ends clears it.

    Raises:
        TransientError, TerminalError: as ``sync_and_notify``.
    """
    from sluice.alerts.store import OVERDUE_LOAD

    message = f"a load has not ended {minutes} minutes after it was due; see its runs in Airflow"
    sync_and_notify(OVERDUE_LOAD, {stream: message}, among=[stream])


def _webhook() -> str | None:
    try:
        return BaseHook.get_connection(WEBHOOK).host or None
    except AirflowNotFoundException:
        return None
