"""Reports alerts: in the log and, if one is configured, to a webhook."""

import logging
from collections.abc import Iterable
from dataclasses import asdict

import httpx

from sluice.alerts.store import Change

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 5.0


def notify(changes: Iterable[Change], webhook: str | None) -> None:
    """Logs each change in one line, and posts it to the webhook as JSON: ``text``, and the change's own fields.

    ``text`` is the field that chat tools display. A failed delivery is only logged: the alert itself is stored.
    """
    for change in changes:
        log.log(logging.INFO if change.cleared else logging.ERROR, "%s", change.text())
        if webhook:
            payload = {"text": change.text(), **asdict(change)}
            try:
                httpx.post(webhook, json=payload, timeout=_TIMEOUT_SECONDS).raise_for_status()
            except httpx.HTTPError as error:
                # Without the error's message, which contains the address: anyone who knows it can post.
                status = f": HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
                log.warning("webhook delivery failed: %s%s", type(error).__name__, status)
