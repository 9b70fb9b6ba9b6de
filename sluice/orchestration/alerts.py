"""Alerts from tasks and from Airflow's deadlines."""

import logging
from collections.abc import Collection, Mapping

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowRuntimeError

from sluice.orchestration.credentials import settings_as

log = logging.getLogger(__name__)

WEBHOOK = "alert_webhook"
"""The optional connection whose host, a full URL, is notified of alerts."""


def sync_and_notify(kind: str, problems: Mapping[str, str], among: Collection[str] | None = None) -> None:
    """Replaces the open alerts of a kind with the current problems, and sends a notification for each change.

    Args:
        kind, problems, among: as in ``sync_alerts``.

    Raises:
        TransientError, TerminalError: Postgres is down, or rejects the statement.
    """
    from sluice.alerts import notify, sync_alerts

    notify(sync_alerts(settings_as("loader"), kind, problems, among), _webhook())


def clear_removed(streams: Collection[str]) -> None:
    """Clears the open alerts of streams whose contract was removed, and sends a notification for each.

    Raises:
        TransientError, TerminalError: as in ``sync_and_notify``.
    """
    from sluice.alerts import clear_alerts_of_removed, notify

    notify(clear_alerts_of_removed(settings_as("loader"), streams), _webhook())


def load_is_overdue(stream: str, minutes: int) -> None:
    """Raises the alert of an overdue load. Airflow calls it at the deadline; the next load that ends clears the alert.

    Raises:
        TransientError, TerminalError: as in ``sync_and_notify``.
    """
    from sluice.alerts.store import OVERDUE_LOAD

    message = f"a load has not ended {minutes} minutes after it was due; see its runs in Airflow"
    sync_and_notify(OVERDUE_LOAD, {stream: message}, among=[stream])


def _webhook() -> str | None:
    try:
        return BaseHook.get_connection(WEBHOOK).host or None
    except AirflowNotFoundException:
        return None
    except (AirflowException, AirflowRuntimeError) as error:
        # Without the error's message, which may contain the address. The alert itself is stored.
        log.warning("cannot read Airflow's connection %s: %s", WEBHOOK, type(error).__name__)
        return None
