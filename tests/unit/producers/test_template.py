"""The producer to copy sends its events as a contract wants them, and reports what Kafka did not confirm."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from producers import template
from sluice.settings import ROOT


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
    template.main()
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
    # Python prints the text as an error, and exits with 1.
    with pytest.raises(
        SystemExit, match=r"not confirm all events: KafkaTimeoutError: no reply\. Hint: check"
    ) as exited:
        template.main()
    assert "\n" not in str(exited.value.code)
    assert capsys.readouterr().out == ""
    assert kafka.closed


def test_it_is_as_short_as_its_page_says() -> None:
    page = (ROOT / "docs/explanation/producers.md").read_text()
    says = re.search(r"`producers/template\.py` is one to copy: (\d+) lines", page)
    assert says is not None
    count = len((ROOT / "producers/template.py").read_text().splitlines())
    assert count == int(says[1]) <= 65
