"""The event rate, from counts that are polled; the sink's consumer group; and the contracts, read when they change."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.poller import LAKE, RATE_SECONDS, SPEED_SECONDS, Growth, Poller, Rate, Snapshot, Speed
from dashboard.probes import sink_group
from infra.config.ports import free_ports
from sluice.contracts import load_contracts
from sluice.errors import TransientError
from sluice.kafka import topics
from sluice.kafka.topics import KafkaRange
from sluice.service.endpoint import serve
from sluice.settings import LOOPBACK, ROOT, Settings
from sluice.sink.metrics import Metrics


def test_the_first_sample_has_no_rate() -> None:
    assert Rate().update(1_000, 5.0) is None


def test_the_rate_covers_the_last_minute() -> None:
    rate = Rate()
    for second in range(0, 600, 5):
        per_second = rate.update(second * 10, float(second))
    assert per_second == 10
    # Older samples no longer count.
    for second in range(600, 600 + int(RATE_SECONDS) + 10, 5):
        per_second = rate.update(6_000, float(second))
    assert per_second == 0


def test_a_falling_count_restarts_the_rate() -> None:
    rate = Rate()
    rate.update(1_000, 0.0)
    assert rate.update(0, 5.0) is None
    assert rate.update(50, 10.0) == 10


def test_a_gap_between_samples_counts_as_elapsed_time() -> None:
    rate = Rate()
    rate.update(0, 0.0)
    assert rate.update(1_000, 1_000.0) == 1


def test_the_speed_is_a_median_that_a_jump_to_another_month_does_not_change() -> None:
    speed = Speed()
    assert speed.update(0, 0.0) is None
    for second in range(5, 100, 5):
        assert speed.update(600 * second, float(second)) == 600
    assert speed.update(600 * 100 + 5 * 30 * 86_400, 100.0) == 600


def test_the_speed_forgets_what_was_long_ago() -> None:
    speed = Speed()
    for second in range(0, 100, 5):
        speed.update(600 * second, float(second))
    assert speed.update(0, 100 + SPEED_SECONDS) is not None
    assert speed.update(5, 105 + SPEED_SECONDS) is not None
    for second in range(110, 200, 5):
        latest = speed.update(second, second + SPEED_SECONDS)
    assert latest == 1


def test_growth_is_the_last_time_at_which_a_count_was_seen_to_grow() -> None:
    growth = Growth()
    moments = [datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC) for second in range(5)]
    # What was there at first, a new stream, and a topic that was created again are no growth.
    for counts, moment in zip(({"a": 7}, {"a": 7, "b": 9}, {"a": 0, "b": 9}), moments, strict=False):
        growth.update(counts, moment)
        assert growth.at is None
    growth.update({"a": 1, "b": 9}, moments[3])
    growth.update({"a": 1, "b": 9}, moments[4])
    assert growth.at == moments[3]


def test_a_stream_without_a_contract_is_removed_but_not_one_whose_contract_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "a.b.yaml").write_text("stream: a.b\n")
    contracts = load_contracts(tmp_path)
    snapshot = Snapshot(contracts=contracts)
    assert (snapshot.is_removed("a.b"), snapshot.is_removed("c.d")) == (False, True)
    assert not Snapshot().is_removed("c.d")


def test_the_sinks_group_is_the_one_that_it_reports() -> None:
    metrics = Metrics()
    server = serve(LOOPBACK, 0, "SLUICE_SINK_PORT", metrics.registry, {})
    settings = Settings(sink_host=LOOPBACK, sink_port=server.server_port)
    try:
        assert sink_group(settings) is None
        metrics.group.info({"group": "sluice-sink-lake-1"})
        assert sink_group(settings) == "sluice-sink-lake-1"
    finally:
        server.shutdown()
        server.server_close()
    assert sink_group(settings) is None


def test_an_invalid_contract_is_in_the_snapshot_until_it_is_valid_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise TransientError("Kafka is down")

    # The client would wait ten seconds for it, at each poll.
    monkeypatch.setattr(topics, "kafka_ranges", down)
    port = free_ports(1)[0]
    ports = dict.fromkeys(("kafka_port", "minio_port", "airflow_port", "sink_port"), port)
    folder = tmp_path / "contracts"
    poller = Poller(Settings(_env_file=None, contracts=folder, **ports))  # type: ignore[call-arg, arg-type]
    (problem,) = poller.poll().invalid_contracts
    assert "no contracts found" in problem
    folder.mkdir()
    assert poller.poll().invalid_contracts == ()
    file = folder / "a.b.yaml"
    file.write_text("stream: a.b\n")
    (problem,) = poller.poll().invalid_contracts
    assert f"{file}: line 1: description: Field required" in problem
    (folder / "a.b.yml").write_text("")
    assert len(poller.poll().invalid_contracts) == 2


def test_the_newest_time_is_known_again_after_an_outage_of_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = KafkaRange("weather.observed", "weather.observed", "id", 0, 0, 7)
    moment = datetime(2013, 1, 31, tzinfo=UTC)
    asked: list[object] = []
    up = [True]

    def ranges(*_: object, **__: object) -> list[KafkaRange]:
        if not up[0]:
            raise TransientError("Kafka is down")
        return [part]

    def newest(_: object, ends: object) -> datetime | None:
        asked.append(ends)
        # The first answer comes too late.
        return moment if len(asked) > 1 else None

    monkeypatch.setattr("dashboard.poller.probes", lambda settings: {"Postgres": lambda: None})
    monkeypatch.setattr("dashboard.poller.last_timestamp", newest)
    monkeypatch.setattr(topics, "kafka_ranges", ranges)
    monkeypatch.setattr(topics, "group_offsets", lambda *_: {})
    monkeypatch.setattr(Poller, "_find_groups", lambda _: {})
    poller = Poller(Settings(_env_file=None, contracts=ROOT / "contracts"))  # type: ignore[call-arg]
    polled = []
    for is_up in (True, True, False, True):
        up[0] = is_up
        polled.append(poller.poll().newest)
    assert polled == [None, moment, None, moment]
    assert len(asked) == 2


def test_when_the_sink_last_wrote_is_known_during_an_outage_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    part = KafkaRange("weather.observed", "weather.observed", "id", 0, 0, 7)
    committed: list[int | None] = [5, 7, None]

    def offsets(*_: object) -> dict[str, dict[str, int]]:
        count = committed.pop(0)
        if count is None:
            raise TransientError("Kafka is down")
        return {"group": {"weather.observed": count}}

    monkeypatch.setattr("dashboard.poller.probes", lambda settings: {"Postgres": lambda: None})
    monkeypatch.setattr("dashboard.poller.last_timestamp", lambda *_: None)
    monkeypatch.setattr(topics, "kafka_ranges", lambda *_, **__: [part])
    monkeypatch.setattr(topics, "group_offsets", offsets)
    monkeypatch.setattr(Poller, "_find_groups", lambda _: {LAKE: "group"})
    poller = Poller(Settings(_env_file=None, contracts=ROOT / "contracts"))  # type: ignore[call-arg]
    first, second, third = (poller.poll() for _ in range(3))
    assert first.written_at is None
    assert second.written_at is not None
    assert (third.kafka, third.written_at, third.read_at) == (None, second.written_at, None)
