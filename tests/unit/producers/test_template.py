"""The producer to copy sends its events as a contract wants them, and reports what Kafka did not confirm."""

import json
from datetime import datetime
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from producers import template


class FakeKafka:
    """Replaces KafkaProducer, and the future that it returns for each event."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.flushed = False
        self.options: dict[str, Any] = {}
        self.sent: list[dict[str, Any]] = []
        self.closed = False

    def __call__(self, **options: Any) -> "FakeKafka":
        self.options = options
        return self

    def send(self, topic: str, **record: Any) -> "FakeKafka":
        self.sent.append({"topic": topic, **record})
        return self

    def flush(self) -> None:
        self.flushed = True

    def get(self, timeout: float) -> None:
        assert self.flushed
        if self.error:
            raise self.error

    def close(self, timeout: float) -> None:
        self.closed = True


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka()
    monkeypatch.setattr(template, "KafkaProducer", fake)
    return fake


def test_each_event_has_its_key_and_its_time(kafka: FakeKafka, capsys: pytest.CaptureFixture[str]) -> None:
    assert template.main() == 0
    assert (kafka.options["acks"], kafka.options["enable_idempotence"]) == ("all", True)
    assert len(kafka.sent) == 3
    for record in kafka.sent:
        event = json.loads(record["value"])
        assert record["topic"] == "queues.measured"
        assert record["key"] == event["origin"].encode()
        assert record["timestamp_ms"] == round(datetime.fromisoformat(event["measured_at"]).timestamp() * 1_000)
    assert len({json.loads(record["value"])["event_id"] for record in kafka.sent}) == 3
    assert kafka.closed
    assert capsys.readouterr().out == "3 events confirmed\n"


def test_an_event_that_is_not_confirmed_is_an_error(kafka: FakeKafka, capsys: pytest.CaptureFixture[str]) -> None:
    kafka.error = KafkaTimeoutError("no reply")
    assert template.main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "did not confirm all events: KafkaTimeoutError: no reply. Hint: check `make status`" in printed.err
    assert kafka.closed
