"""What a webhook receives; that a failure is one short cause, and that its address is told nowhere."""

import importlib
import logging
import socket

import pytest

from sluice.alerts import Change, DeliveryError, Run, webhooks
from tests.fixtures.receivers import webhook

AIRFLOW = "http://127.0.0.1:8080"
CHANGE = Change("fire", "a", "smoke", Run("monitor", "scheduled__2013-01-01T00:00:00+00:00"))
PAGE = f"{AIRFLOW}/dags/monitor/runs/scheduled__2013-01-01T00%3A00%3A00%2B00%3A00"


def test_the_plain_format_has_the_fields_of_the_alert_and_the_address_of_its_run() -> None:
    with webhook() as received:
        webhooks.post(f"http://127.0.0.1:{received.port}", webhooks.plain(CHANGE, AIRFLOW))
    assert received.bodies == [
        {
            "text": "alert: fire: a: smoke",
            "kind": "fire",
            "subject": "a",
            "message": "smoke",
            "cleared": False,
            "dag_id": "monitor",
            "run_id": "scheduled__2013-01-01T00:00:00+00:00",
            "url": PAGE,
        }
    ]


def test_slacks_format_has_one_text_with_a_link_and_nothing_that_slack_would_interpret() -> None:
    hostile = Change("fire", "<!channel>", "a & b < c", Run("monitor", "1"), cleared=True)
    with webhook() as received:
        webhooks.post(f"http://127.0.0.1:{received.port}", webhooks.slack(CHANGE, AIRFLOW))
        webhooks.post(f"http://127.0.0.1:{received.port}", webhooks.slack(hostile, AIRFLOW))
    raised, cleared = received.bodies
    assert raised.keys() == {"text"}
    assert raised["text"].splitlines() == [
        ":rotating_light: *alert: fire: a*",
        "smoke",
        f"<{PAGE}|monitor scheduled__2013-01-01T00:00:00+00:00>",
    ]
    assert cleared["text"].splitlines()[:2] == [
        ":white_check_mark: *cleared: fire: &lt;!channel&gt;*",
        "a &amp; b &lt; c",
    ]


@pytest.mark.parametrize(
    "address",
    [
        *("no url secret", "hooks.example.com/secret", "https://", "http:///secret", "ftp://host/secret", ""),
        *("http://[::1/secret", "http://host:port/secret", f"http://127.0.0.1:{10**30}/secret", "http://xn--/secret"),
        *("http://x\0y/secret", f"http://{'a' * 70}/secret", "http://é..x/secret", "javascript:secret"),
        *("http://user:secret@127.0.0.1:1/", "http://127.0.0.1:1/\ud800secret"),
    ],
)
def test_an_address_that_is_no_url_is_a_short_cause_without_the_address(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(DeliveryError) as caught:
        webhooks.post(address, {})
    assert "secret" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("status", [307, 404, 500])
def test_a_redirect_or_an_error_is_a_failure(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with webhook(status) as received, caplog.at_level(logging.INFO), pytest.raises(DeliveryError) as caught:
        webhooks.post(f"http://127.0.0.1:{received.port}/secret", {})
    assert str(caught.value) == f"HTTP {status}"
    assert received.paths == ["/secret"]
    assert "secret" not in caplog.text


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("sluice.alerts.webhooks"), "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DeliveryError, match="ReadTimeout"):
        webhooks.post(f"http://127.0.0.1:{silent.getsockname()[1]}/", {})
