"""Posts alerts to webhooks, as plain JSON or as Slack's incoming webhooks expect it."""

import logging
from collections.abc import Callable

import httpx

from sluice.alerts.notify import DeliveryError
from sluice.alerts.store import Change
from sluice.escaping import shorten

# It logs the address of each request: anyone who knows that of a webhook can post.
logging.getLogger("httpx").setLevel(logging.WARNING)

Json = dict[str, object]
Format = Callable[[Change, str], Json]
"""Makes the body of a message from a change and the address of Airflow's UI."""

_TIMEOUT_SECONDS = 5.0
_SLACK_LIMIT = 2000
"""Characters of a message. Slack cuts longer ones at a place of its own."""


def plain(change: Change, airflow: str) -> Json:
    """Returns the fields of the change, and ``text``, the field that most chat tools display."""
    return {
        "text": change.text(),
        "kind": change.kind,
        "subject": change.subject,
        "message": change.message,
        "cleared": change.cleared,
        "dag_id": change.run.dag_id if change.run else None,
        "run_id": change.run.run_id if change.run else None,
        "url": change.run.url(airflow) if change.run else None,
    }


def slack(change: Change, airflow: str) -> Json:
    """Returns a message in Slack's format: what has happened, and a link to the run."""
    sign = ":white_check_mark:" if change.cleared else ":rotating_light:"
    state = "cleared" if change.cleared else "alert"
    text = _slack_text(shorten(change.message, _SLACK_LIMIT))
    link = f"\n<{change.run.url(airflow)}|{_slack_text(' '.join(change.run))}>" if change.run else ""
    return {"text": f"{sign} *{state}: {change.kind}: {_slack_text(change.subject)}*\n{text}{link}"}


def post(address: str, body: Json) -> None:
    """Posts one message. A redirect is a failure: it is not followed.

    Raises:
        DeliveryError: it was not accepted.
    """
    try:
        # The response's body is not read: however long it is, only the status counts.
        # Its certificate is verified by public authorities, also where the lake's store has one of its own.
        authorities = httpx.create_ssl_context(trust_env=False)
        with httpx.stream("POST", address, json=body, timeout=_TIMEOUT_SECONDS, verify=authorities) as response:
            status = response.status_code
    # The last two are Python's own: a host name that cannot be encoded, a port of too many digits.
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OverflowError) as error:
        # Without the error's message, which contains the address.
        raise DeliveryError(_cause(error)) from None
    if not httpx.codes.is_success(status):
        raise DeliveryError(f"HTTP {status}")


def _slack_text(text: str) -> str:
    """Returns a text that Slack shows as it is: these three characters begin links, mentions and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | UnicodeError | OverflowError):
        return "its address is not a URL with http:// or https://"
    return type(error).__name__
