"""Reports alerts: in the log and, if one is configured, to a webhook."""

import logging
from collections.abc import Iterable
from dataclasses import asdict

import httpx

from sluice.alerts.store import Change

log = logging.getLogger(__name__)
# It logs the address of each request: anyone who knows that of a webhook can post.
logging.getLogger("httpx").setLevel(logging.WARNING)

_TIMEOUT_SECONDS = 5.0
_HINT = "check the host of Airflow's connection alert_webhook"


def notify(changes: Iterable[Change], webhook: str | None) -> None:
    """Logs each change in one line, and posts it to the webhook as JSON: ``text``, and the change's own fields.

    ``text`` is the field that chat tools display. A failed delivery is only logged: the alert itself is stored. After
    one that found no server, the others are not tried.
    """
    reachable = webhook is not None
    for change in changes:
        log.log(logging.INFO if change.cleared else logging.ERROR, "%s", change.text())
        if webhook and reachable:
            reachable = _post(webhook, {"text": change.text(), **asdict(change)})


def _post(webhook: str, payload: dict[str, object]) -> bool:
    """Posts one message; returns whether it is worth trying another. A redirect is a failure: it is not followed."""
    try:
        # The response's body is not read: however long it is, only the status counts.
        # Its certificate is verified by public authorities, also where the lake's store has one of its own.
        authorities = httpx.create_ssl_context(trust_env=False)
        with httpx.stream("POST", webhook, json=payload, timeout=_TIMEOUT_SECONDS, verify=authorities) as response:
            status = response.status_code
    # The last two are Python's own: a host name that cannot be encoded, a port of too many digits.
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OverflowError) as error:
        # Without the error's message, which contains the address.
        log.warning("webhook delivery failed: %s. Hint: %s.", _cause(error), _HINT)
        return False
    if not httpx.codes.is_success(status):
        log.warning("webhook delivery failed: HTTP %d. Hint: %s.", status, _HINT)
    return True


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | UnicodeError | OverflowError):
        return "its address is not a URL with http:// or https://"
    return type(error).__name__
