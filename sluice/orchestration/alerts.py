"""Alerts from tasks, and the channels that Airflow's connections configure."""

import html
import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowRuntimeError

from sluice.escaping import shorten
from sluice.orchestration.credentials import settings_as
from sluice.settings import Settings

if TYPE_CHECKING:
    from sluice.alerts import Change, Problem, Send

log = logging.getLogger(__name__)

WEBHOOK, SLACK, EMAIL = "alert_webhook", "alert_slack", "alert_email"
"""The optional connections that are told of alerts: the host of the first two is a full URL; the last is of type
``smtp``, and its extra fields name the sender (``from_email``) and the recipients (``to``).
"""
_SUBJECT_LENGTH = 120


class Alerts:
    """The alerts that one task raises and clears."""

    def __init__(self, context: Context) -> None:
        """Reads the settings and the channels.

        Raises:
            TerminalError: Airflow has no connection to the warehouse.
        """
        from sluice.alerts import Run

        self._settings = settings_as("loader")
        self._run = Run(context["ti"].dag_id, context["run_id"])
        self._channels = channels(self._settings)

    def sync(self, kind: str, problems: "Mapping[str, str | Problem]") -> None:
        """Replaces the open alerts of a kind with the current problems; logs and delivers each change.

        Args:
            kind: of the alerts.
            problems: by subject; a text is a problem that this task's run has found.

        Raises:
            TransientError, TerminalError: Postgres is down, or rejects the statement.
        """
        from sluice.alerts import Problem, sync_alerts

        found = {
            subject: Problem(problem, self._run) if isinstance(problem, str) else problem
            for subject, problem in problems.items()
        }
        self._tell(sync_alerts(self._settings, kind, found, self._channels))

    def clear_removed(self, streams: Collection[str]) -> None:
        """Clears the open alerts of streams whose contract was removed; logs and delivers each change.

        Raises:
            TransientError, TerminalError: as in ``sync``.
        """
        from sluice.alerts import clear_alerts_of_removed

        self._tell(clear_alerts_of_removed(self._settings, streams, self._channels))

    def deliver(self) -> None:
        """Delivers what earlier tasks could not deliver.

        Raises:
            TransientError, TerminalError: as in ``sync``.
        """
        from sluice.alerts import deliver

        deliver(self._settings, self._channels)

    def _tell(self, changes: "list[Change]") -> None:
        from sluice.alerts import log_changes

        log_changes(changes, self._settings.pages.airflow)
        if changes:
            self.deliver()


def channels(settings: Settings) -> "dict[str, Send]":
    """Returns what sends an alert to each channel that Airflow has a connection for."""
    from sluice.alerts import webhooks

    formats = {WEBHOOK: webhooks.plain, SLACK: webhooks.slack}
    airflow = settings.pages.airflow
    found: dict[str, Send] = {}
    for name in (*formats, EMAIL):
        connection = _connection(name)
        if connection is None:
            continue
        found[name] = (
            _email(connection, airflow) if name == EMAIL else _webhook(connection.host or "", formats[name], airflow)
        )
    return found


def _connection(name: str) -> Any:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
    except (AirflowException, AirflowRuntimeError) as error:
        # Without the error's message, which may contain the address. The alert itself is stored.
        log.warning("cannot read Airflow's connection %s: %s", name, type(error).__name__)
        return None


def _webhook(address: str, body: "Callable[[Change, str], dict[str, object]]", airflow: str) -> "Send":
    from sluice.alerts.webhooks import post

    return lambda change: post(address, body(change, airflow))


def _email(connection: Any, airflow: str) -> "Send":
    def send(change: "Change") -> None:
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        text = html.escape(change.message)
        if change.run:
            text += f'</p><p><a href="{html.escape(change.run.url(airflow))}">{html.escape(" ".join(change.run))}</a>'
        with SmtpHook(smtp_conn_id=EMAIL) as server:
            server.send_email_smtp(
                to=connection.extra_dejson.get("to", ""),
                subject=shorten(f"[Sluice] {change.text()}", _SUBJECT_LENGTH),
                html_content=f"<p>{text}</p>",
            )

    return send
