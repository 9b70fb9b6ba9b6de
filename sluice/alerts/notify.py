"""Delivers the queued messages of alerts. A channel that is down keeps its messages, and delays no other channel."""

import logging
from collections.abc import Callable, Iterable, Mapping

from sluice.alerts.store import Change, change, loader
from sluice.settings import Settings

log = logging.getLogger(__name__)

Send = Callable[[Change], None]
"""Sends one message; raises an error, best a DeliveryError, if it has not arrived."""

_LOCK = "select pg_advisory_xact_lock(hashtextextended('alerts: ' || %s, 0))"
_NEXT = """
select m.seq, kind, subject, message, dag_id, run_id, cleared
from ops.alert_messages m join ops.alerts a on a.seq = m.alert
where channel = %s order by m.seq limit 1"""


class DeliveryError(Exception):
    """A message has not arrived. The text says why, without an address or a password."""


def log_changes(changes: Iterable[Change], airflow: str) -> None:
    """Logs each change in one line, with the address of its run.

    Args:
        changes: the alerts that were raised or cleared.
        airflow: the address of Airflow's UI.
    """
    for item in changes:
        link = f" ({item.run.url(airflow)})" if item.run else ""
        log.log(logging.INFO if item.cleared else logging.ERROR, "%s%s", item.text(), link)


def deliver(settings: Settings, channels: Mapping[str, Send]) -> None:
    """Sends each channel its queued messages, the oldest first, until one fails: the next call resumes there.

    A message is deleted after it was sent, so that one may arrive twice, but none is lost. Messages of other channels,
    which have been removed, are dropped.

    Args:
        settings: with the loader's password.
        channels: by name, what sends one message.

    Raises:
        TransientError, TerminalError: Postgres is down or rejects a statement.
    """
    with loader(settings) as warehouse:
        warehouse.execute("delete from ops.alert_messages where channel <> all(%s)", (list(channels),))
    for name, send in channels.items():
        try:
            while _deliver_next(settings, name, send):
                pass
        except DeliveryError as error:
            log.warning(
                "alerts were not delivered to %s, the next run tries again: %s. Hint: check Airflow's connection %s.",
                *(name, error, name),
            )


def _deliver_next(settings: Settings, channel: str, send: Send) -> bool:
    """Sends the oldest message of a channel; returns False if there is none."""
    with loader(settings) as warehouse:
        # One task at a time: the messages stay in order, and none is sent by two.
        warehouse.execute(_LOCK, (channel,))
        row = warehouse.execute(_NEXT, (channel,)).fetchone()
        if row is None:
            return False
        seq, *alert, cleared = row
        try:
            send(change(alert, bool(cleared)))
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - a library's own, whose message may contain an address or a user
            raise DeliveryError(type(error).__name__) from None
        warehouse.execute("delete from ops.alert_messages where seq = %s", (seq,))
    return True
