"""The channels are those that Airflow has a connection for; each names the alert and its run, and no log a secret."""

import json
import logging

import pytest

from sluice.alerts import Change, Run
from sluice.orchestration.alerts import EMAIL, SLACK, WEBHOOK, channels
from sluice.settings import Settings
from tests.fixtures.receivers import mail_server, webhook

SETTINGS = Settings(airflow_url="http://airflow.test")
CHANGE = Change("failed run", "transform", "run 1 failed in the task <build>", Run("transform", "manual__1"))


def _connect(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


def test_without_connections_there_is_no_channel() -> None:
    assert channels(SETTINGS) == {}


def test_a_message_reaches_each_channel_in_its_format(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), webhook() as plain, webhook() as slack, mail_server() as mail:
        _connect(monkeypatch, WEBHOOK, conn_type="generic", host=f"http://127.0.0.1:{plain.port}/s3cret")
        _connect(monkeypatch, SLACK, conn_type="generic", host=f"http://127.0.0.1:{slack.port}/s3cret")
        extra = {"from_email": "sluice@test", "to": "a@test, b@test", "disable_ssl": True, "disable_tls": True}
        login = {"login": "u", "password": "s3cret"}
        _connect(monkeypatch, EMAIL, conn_type="smtp", host="127.0.0.1", port=mail.port, **login, extra=extra)
        found = channels(SETTINGS)
        assert list(found) == [WEBHOOK, SLACK, EMAIL]
        for send in found.values():
            send(CHANGE)
    (body,) = plain.bodies
    assert body["url"] == "http://airflow.test/dags/transform/runs/manual__1"
    (body,) = slack.bodies
    assert "<http://airflow.test/dags/transform/runs/manual__1|transform manual__1>" in body["text"]
    (message,) = mail.mails
    assert mail.recipients == ["a@test", "b@test"]
    assert mail.logins == ["u:s3cret"]
    assert message["From"] == "sluice@test"
    assert message["Subject"] == "[Sluice] alert: failed run: transform: run 1 failed in the task <build>"
    (part,) = message.get_payload()  # type: ignore[str-unpack]
    text = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "run 1 failed in the task &lt;build&gt;" in text
    assert '<a href="http://airflow.test/dags/transform/runs/manual__1">transform manual__1</a>' in text
    assert "s3cret" not in caplog.text
