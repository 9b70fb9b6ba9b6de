"""Telling of alerts: a line in the log and, where there is one, a webhook."""

import logging
from collections.abc import Iterable
from dataclasses import asdict

import httpx

from sluice.alerts.store import Change

log = logging.getLogger(__name__)

_SECONDS = 5.0


def notify(changes: Iterable[Change], webhook: str | None) -> None:
    """Logs each change in one line, and posts it to the webhook as JSON: ``text``, and the change's own fields.

    ``text`` is what chats show of such a message. A webhook that fails is logged: the alert itself is in the book.
    """
    for change in changes:
        log.log(logging.INFO if change.cleared else logging.ERROR, "%s", change.text())
        if webhook:
            try:
                httpx.post(webhook, json={"text": change.text(), **asdict(change)}, timeout=_SECONDS).raise_for_status()
            except httpx.HTTPError as error:
                # Not its message, which names the address: whoever knows that may post.
                status = f": HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
                log.warning("the webhook was not told (%s%s)", type(error).__name__, status)
