"""A file of other events than flights: its contract is inferred, it is sent, and the raw table has what it says."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from producers.files import open_records
from sluice.contracts.inference import infer, parse_json
from sluice.load import load
from sluice.settings import ROOT
from sluice.warehouse import connect
from tests.fixtures.quakes import COUNT, QUAKES
from tests.fixtures.servers import Stream


def contract_for(sample: Path) -> str:
    """Returns the contract inferred from a sample as a template for ``make_stream``."""
    records = open_records(sample)
    inference = infer("own.data", list(map(parse_json, records.texts(range(len(records))))), "tests", sample.name)
    text = inference.contract.replace("{", "{{").replace("}", "}}")
    return text.replace("stream: own.data", "stream: {stream}").replace("partitions: 4", "partitions: {partitions}")


def send(stream: Stream, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "producers", "send", "--stream", stream.name, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=stream.environment, capture_output=True, text=True, check=False, timeout=120
    )


def query(stream: Stream, text: str) -> list[Any]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(text.format(raw=f"raw.{stream.contract.table}").encode()).fetchall()


def records(stream: Stream) -> list[Any]:
    """Returns all records of the stream's topic."""
    consumer = KafkaConsumer(
        stream.contract.topic_name,
        bootstrap_servers=stream.settings.kafka,
        auto_offset_reset="earliest",
        consumer_timeout_ms=3_000,
    )
    try:
        return list(consumer)
    finally:
        consumer.close()


@pytest.mark.essential
def test_a_real_collection_arrives_as_it_is(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(2, contract_for(QUAKES))
    done = send(stream, "--file", str(QUAKES))
    assert (done.returncode, f"{COUNT:,} confirmed" in done.stdout) == (0, True), done.stderr
    features = json.loads(QUAKES.read_text(), parse_float=Decimal)["features"]
    sent = {record.key.decode(): record for record in records(stream)}
    assert sent.keys() == {feature["id"] for feature in features}
    content = QUAKES.read_bytes()
    assert all(record.value in content for record in sent.values())
    for feature in features:
        assert sent[feature["id"]].timestamp == feature["properties"]["time"]
    stream.land()
    report = load(stream.settings, stream.contract)
    assert (report.rows, report.quarantined) == (COUNT, 0)
    found = query(stream, "select id, mag, time, place, gap, longitude, coordinates_2, felt from {raw} order by id")
    assert found == sorted(
        (
            feature["id"],
            feature["properties"]["mag"],
            datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=feature["properties"]["time"]),
            feature["properties"]["place"],
            feature["properties"]["gap"],
            float(feature["geometry"]["coordinates"][0]),
            feature["geometry"]["coordinates"][2],
            feature["properties"]["felt"],
        )
        for feature in features
    )


def test_injected_faults_of_any_stream_are_quarantined(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(1, contract_for(QUAKES))
    done = send(
        stream, "--file", str(QUAKES), "--duplicates", "0.5", "--corrupt", "0.5", "--invalid", "1", "--seed", "3"
    )
    assert done.returncode == 0, done.stderr
    total = len(records(stream))
    stream.land()
    report = load(stream.settings, stream.contract)
    assert report.rows + report.quarantined == total
    assert query(stream, "select count(distinct id) from {raw}") == [(COUNT,)]
    assert report.quarantined > COUNT
    assert f"{COUNT:,} invalid" in done.stdout


def test_a_csv_file_arrives_exactly(make_stream: Callable[..., Stream], tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "Order ID;Placed;Amount;Code\n"
        "9007199254740993;2018-02-07 01:26:13;12345678901234567.50;007\n"
        "9007199254740994;2018-02-07 02:26;.25;\n"
        "9007199254740995;yesterday;1.00;8\n"
    )
    sample = tmp_path / "sample.csv"
    sample.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    stream = make_stream(1, contract_for(sample))
    done = send(stream, "--file", str(path))
    assert done.returncode == 0, done.stderr
    assert "1 of 3 records have no readable placed: sent with the current time" in done.stdout
    stream.land()
    report = load(stream.settings, stream.contract)
    assert (report.rows, report.quarantined) == (2, 1)
    assert query(stream, "select order_id, placed, amount, code from {raw} order by order_id") == [
        (9007199254740993, datetime(2018, 2, 7, 1, 26, 13, tzinfo=UTC), Decimal("12345678901234567.50"), "007"),
        (9007199254740994, datetime(2018, 2, 7, 2, 26, tzinfo=UTC), Decimal("0.25"), None),
    ]


def test_the_producer_to_copy_sends_to_a_stream(make_stream: Callable[..., Stream]) -> None:
    queues = """\
stream: {stream}
description: Queues.
owner: tests
topic: {{partitions: {partitions}, retention_bytes: 1073741824}}
key: origin
event_time: measured_at
lateness: 1h
load: {{schedule: "*/5 * * * *"}}
columns:
  - {{name: event_id, type: string, nullable: false, description: Id.}}
  - {{name: origin, type: string, nullable: false, description: Airport.}}
  - {{name: measured_at, type: timestamp, nullable: false, description: Time.}}
  - {{name: minutes, type: int32, description: Minutes.}}
"""
    stream = make_stream(1, queues)
    done = subprocess.run(
        # As if a learner had edited the topic.
        [sys.executable, "-c", f"from producers import template as t; t.TOPIC = '{stream.name}'; exit(t.main())"],
        cwd=ROOT,
        env=stream.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "3 events confirmed\n"), done.stderr
    assert sorted(record.key for record in records(stream)) == [b"EWR", b"JFK", b"LGA"]
    stream.land()
    report = load(stream.settings, stream.contract)
    assert (report.rows, report.quarantined) == (3, 0)
