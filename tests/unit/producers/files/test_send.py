"""A file's events have the contract's key and event time, are sent in its order, and are counted."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from producers.events import Event
from producers.fault_injection import Faults, inject_faults
from producers.files import open_records
from producers.files import send as module
from producers.files.send import Send, csv_kinds, send
from producers.files.timeline import FileTimeline
from sluice.contracts import Contract, read_contract
from sluice.contracts.inference import infer, parse_json
from sluice.contracts.validation import validate_event
from sluice.errors import TerminalError, TransientError
from tests.fixtures.quakes import COUNT, QUAKES

CONTRACT = """
stream: a.b
description: Events.
owner: you
topic: {name: any-topic, partitions: 1, retention_bytes: 1048576}
key: code
event_time: at
lateness: 1h
load: {schedule: "0 0 * * *"}
columns:
  - {name: code, type: string, nullable: false, description: "-"}
  - {name: at, type: timestamp, nullable: false, description: "-"}
  - {name: amount, type: "decimal(9, 2)", description: "-"}
"""


def contract_of(folder: Path, text: str) -> Contract:
    path = folder / f"{text.split()[1]}.yaml"
    path.write_text(text)
    return read_contract(path)


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return contract_of(tmp_path, CONTRACT)


@pytest.fixture
def quakes(tmp_path: Path) -> Contract:
    texts = open_records(QUAKES).texts(range(COUNT))
    return contract_of(tmp_path, infer("a.quakes", list(map(parse_json, texts)), "you", "-").contract.split("\n", 2)[2])


def write(folder: Path, *lines: str, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def events_of(contract: Contract, path: Path) -> list[Event]:
    return [event for batch in FileTimeline(contract, open_records(path)).batches() for event in batch]


@pytest.fixture
def delivery(recording_delivery: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    recorder = recording_delivery()
    monkeypatch.setattr(module, "connect", lambda *_: recorder)
    return recorder


def test_events_have_the_key_and_the_event_time_of_the_contract(contract: Contract, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"code": "b", "at": "1970-01-01T00:00:02.0019Z", "amount": 1.50}',
        '{"code": "a", "at": "1970-01-01T01:00:01+01:00"}',
    )
    assert events_of(contract, path) == [
        Event("a.b", b"a", b'{"code": "a", "at": "1970-01-01T01:00:01+01:00"}', 1_000, 1_000),
        Event("a.b", b"b", b'{"code": "b", "at": "1970-01-01T00:00:02.0019Z", "amount": 1.50}', 2_001, 2_001),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("string", '"é"', "é".encode()),
        ("int64", "9007199254740993", b"9007199254740993"),
        ('"decimal(9, 2)"', "1.50", b"1.50"),
        ("boolean", "true", b"true"),
        ("string", "null", None),
        ("string", '{"a": 1}', None),
    ],
)
def test_a_key_is_the_text_that_the_event_has(tmp_path: Path, kind: str, value: str, key: bytes | None) -> None:
    contract = contract_of(tmp_path, CONTRACT.replace("code, type: string", f"code, type: {kind}"))
    path = write(tmp_path, f'{{"code": {value}, "at": "2018-02-07T00:00:00Z"}}')
    assert [event.key for event in events_of(contract, path)] == [key]


def test_a_stream_without_a_key_has_records_without_one(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, CONTRACT.replace("key: code\n", ""))
    path = write(tmp_path, '{"code": "a", "at": "2018-02-07T00:00:00Z"}')
    assert [event.key for event in events_of(contract, path)] == [None]


def test_a_real_collection_is_sent_in_the_order_of_its_event_time(quakes: Contract, delivery: Any) -> None:
    lines: list[str] = []
    assert send(Send(QUAKES), "-", quakes, lines.append) == 0
    features = sorted(json.loads(QUAKES.read_text())["features"], key=lambda feature: feature["properties"]["time"])
    assert [json.loads(event.value) for event in delivery.events] == features
    assert [event.timestamp for event in delivery.events] == [feature["properties"]["time"] for feature in features]
    assert [event.key for event in delivery.events] == [feature["id"].encode() for feature in features]
    assert lines[-1].split()[:3] == ["total", f"{COUNT:,}", "confirmed"]
    assert delivery.closed


def test_a_record_without_a_readable_event_time_is_sent_with_the_current_time_and_counted(
    contract: Contract, delivery: Any, tmp_path: Path
) -> None:
    lines: list[str] = []
    path = write(
        tmp_path,
        '{"code": "a"}',
        '{"code": "b", "at": "2018-02-07T00:00:02Z"}',
        "not JSON",
        '{"code": "c", "at": "2018-02-07T00:00:01Z"}',
        '{"code": "d", "at": "2018-02-30T00:00:00Z"}',
    )
    before = time.time_ns() // 1_000_000
    assert send(Send(path), "-", contract, lines.append) == 0
    values = [event.value for event in delivery.events]
    # Each one follows the record before it in the file.
    assert [value[:12] for value in values] == [
        b'{"code": "c"',
        b'{"code": "d"',
        b'{"code": "a"',
        b'{"code": "b"',
        b"not JSON",
    ]
    assert [event.timestamp >= before for event in delivery.events] == [False, True, True, False, True]
    assert [event.key for event in delivery.events] == [b"c", b"d", b"a", b"b", None]
    assert lines[-1] == ("3 of 5 records have no readable at: sent with the current time, they go to quarantine")


def test_events_of_a_time_before_kafkas_are_sent_with_its_first(contract: Contract, tmp_path: Path) -> None:
    path = write(tmp_path, '{"code": "a", "at": "1969-12-31T00:00:00Z"}', '{"code": "b", "at": "1950-01-01T00:00:00Z"}')
    assert [(event.key, event.timestamp) for event in events_of(contract, path)] == [(b"b", 0), (b"a", 0)]


def test_with_the_event_time_record_events_are_sent_now_in_the_order_of_the_file(tmp_path: Path, delivery: Any) -> None:
    contract = contract_of(tmp_path, CONTRACT.replace("event_time: at", "event_time: record"))
    path = write(tmp_path, '{"code": "b", "at": "2018-02-07T00:00:02Z"}', '{"code": "a", "at": "2018-02-07T00:00:01Z"}')
    before = time.time_ns() // 1_000_000
    lines: list[str] = []
    assert send(Send(path), "-", contract, lines.append) == 0
    assert [event.key for event in delivery.events] == [b"b", b"a"]
    assert all(event.timestamp >= before for event in delivery.events)
    assert lines[-1].startswith("total")
    with pytest.raises(TerminalError, match=r"speed: events of a\.b happen when they are sent"):
        send(Send(path, speed=2), "-", contract, lines.append)


def test_the_columns_of_a_contract_say_how_csv_is_written(contract: Contract, tmp_path: Path) -> None:
    path = write(tmp_path, "code,at,amount,more", "7,2018-02-07 00:00:00Z,1.50,x", name="a.csv")
    assert csv_kinds(contract) == {"code": "string", "at": "timestamp", "amount": "number"}
    records = open_records(path, csv_kinds(contract))
    assert records.texts([0]) == [b'{"code":"7","at":"2018-02-07T00:00:00Z","amount":1.50,"more":"x"}']


@pytest.mark.parametrize("kind", ["date", "time", "uuid", "json", "array(date)"])
def test_a_null_of_a_csv_file_is_one_for_every_type_but_strings(tmp_path: Path, kind: str) -> None:
    column = f'  - {{name: more, type: "{kind}", description: "-"}}\n'
    contract = contract_of(tmp_path, CONTRACT + column)
    rows = [f"NA,2018-02-07T00:00:00Z,1.50,{null}" for null in ("NA", "NULL", "NaN", "", '""')]
    records = open_records(write(tmp_path, "code,at,amount,more", *rows, name="a.csv"), csv_kinds(contract))
    for text in records.texts(range(len(records))):
        event, reason = validate_event(contract, text, None)
        assert reason == ""
        assert event is not None
        assert (event.values["code"], event.values["more"]) == ("NA", None)


def test_faults_of_any_stream_can_be_injected(quakes: Contract, delivery: Any) -> None:
    lines: list[str] = []
    faults = Faults(late=0.5, duplicates=1, corrupt=1, invalid=1, seed=7)
    assert send(Send(QUAKES, faults=faults), "-", quakes, lines.append) == 0
    counts = {
        name: sum(event.fault == name for event in delivery.events) for name in ("duplicate", "corrupt", "invalid")
    }
    assert counts == dict.fromkeys(counts, COUNT)
    assert f"{COUNT:,} duplicate, {COUNT:,} corrupt, {COUNT:,} invalid" in lines[2]


def test_a_line_that_is_not_a_json_object_is_sent_without_faults_that_make_it_invalid(
    contract: Contract, delivery: Any, tmp_path: Path
) -> None:
    good = '{"code": "a", "at": "2018-02-07T00:00:00Z"}'
    others = ("not json", "[1,2]", "12345", '"text"', "null", "{", f"{good} {good}")
    lines: list[str] = []
    faults = Faults(duplicates=1, corrupt=1, invalid=1, seed=7)
    path = write(tmp_path, f"{good}   ", *others)
    assert send(Send(path, faults=faults), "-", contract, lines.append) == 0
    assert f"{1 + len(others)} duplicate, 1 corrupt, 1 invalid" in lines[2]
    assert sorted(event.value.decode() for event in delivery.events if not event.fault) == sorted(
        [f"{good}   ", *others]
    )


def test_a_corrupt_copy_is_not_json_although_its_line_ends_with_space(contract: Contract, tmp_path: Path) -> None:
    path = write(tmp_path, *['{"code": "a"}' + " " * 100] * 200)
    batches = FileTimeline(contract, open_records(path)).batches()
    faulty = inject_faults(batches, Faults(corrupt=1), {contract.stream: contract})
    corrupt = [event.value for batch in faulty for event in batch if event.fault]
    assert len(corrupt) == 200
    for value in corrupt:
        with pytest.raises(ValueError):
            json.loads(value)


@pytest.mark.parametrize("format_name", ["avro", "json-registry"])
def test_a_file_is_not_sent_to_a_stream_of_another_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    monkeypatch.setattr(module, "connect", lambda *_: pytest.fail("connected"))
    path = write(tmp_path, '{"code": "a", "at": "2018-02-07T00:00:00Z"}')
    contract = contract_of(tmp_path, f"{CONTRACT}format: {format_name}\n")
    with pytest.raises(TerminalError) as error:
        send(Send(path), "-", contract, lambda _: None)
    message = f"events of a.b have the format {format_name}, and the events of a file are plain JSON. Hint: "
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_speed_paces_by_event_time(contract: Contract, delivery: Any, tmp_path: Path) -> None:
    path = write(tmp_path, *(f'{{"code": "a", "at": "2018-02-07T00:0{minute}:00Z"}}' for minute in range(5)))
    started = time.monotonic()
    assert send(Send(path, speed=1_200), "-", contract, lambda _: None) == 0
    assert time.monotonic() - started >= 4 * 60 / 1_200


def test_a_signal_ends_it_with_the_count_of_what_was_sent(
    contract: Contract, delivery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, *(f'{{"code": "{number}", "at": "2018-02-07T00:00:00Z"}}' for number in range(2_000)))
    send_one = delivery.send

    def send_and_stop(event: Event) -> None:
        send_one(event)
        if len(delivery.events) == 300:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(delivery, "send", send_and_stop)
    lines: list[str] = []
    assert send(Send(path), "-", contract, lines.append) == 130
    assert lines[-1] == f"stopped by SIGINT: {len(delivery.events)} events confirmed, none unconfirmed"
    assert 300 <= len(delivery.events) < 2_000


def test_a_signal_while_the_file_is_read_closes_the_connection(
    contract: Contract, delivery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "FileTimeline", interrupt)
    path = write(tmp_path, '{"code": "a", "at": "2018-02-07T00:00:00Z"}')
    with pytest.raises(KeyboardInterrupt):
        send(Send(path), "-", contract, lambda _: None)
    assert delivery.closed
    assert delivery.events == []


def test_undelivered_events_are_an_error(
    recording_delivery: Any, contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = recording_delivery(confirm=0)
    monkeypatch.setattr(module, "connect", lambda *_: failing)
    path = write(tmp_path, '{"code": "a", "at": "2018-02-07T00:00:00Z"}')
    with pytest.raises(TransientError, match="1 events were not delivered"):
        send(Send(path), "-", contract, lambda _: None)
    assert failing.closed


def test_the_topic_is_the_contracts(
    contract: Contract, recording_delivery: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, str]] = []

    def connect(address: str, topics: dict[str, str], speed: float) -> Any:
        asked.append(topics)
        return recording_delivery()

    monkeypatch.setattr(module, "connect", connect)
    send(Send(write(tmp_path, '{"code": "a", "at": "2018-02-07T00:00:00Z"}')), "-", contract, lambda _: None)
    assert asked == [{"a.b": "any-topic"}]
