"""Events that nobody shaped for this platform: nested, of every type, with timestamps of their own, corrected later."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from sluice.contracts import load_contracts
from sluice.load import load, reload
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.reconcile.run import reconcile_loaded
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream

CONTRACT = """\
stream: {stream}
description: Measurements as their maker sends them.
owner: tests
topic: {{partitions: {partitions}, retention_bytes: 1073741824}}
id: [station, number]
event_time: at
lateness: 1h
load: {{schedule: "*/5 * * * *"}}
columns:
  - {{name: station, type: string, from: Station.Code, nullable: false, description: Station.}}
  - {{name: number, type: int64, from: Nr, nullable: false, description: Number.}}
  - {{name: at, type: timestamp, format: epoch_ms, from: Station.Time, nullable: false, description: Time.}}
  - {{name: price, type: "decimal(30, 10)", description: An exact number.}}
  - {{name: clock, type: time, description: A time of day.}}
  - {{name: device, type: uuid, description: A device.}}
  - {{name: details, type: json, description: Anything.}}
  - {{name: tags, type: array(string), description: Texts.}}
  - {{name: days, type: array(date), description: Dates.}}
  - {{name: moments, type: array(timestamp), description: Times.}}
  - {{name: amounts, type: "array(decimal(6, 2))", description: Exact numbers.}}
  - {{name: local, type: timestamp, zone: Europe/Vienna, description: A time without a zone.}}
  - {{name: longitude, type: float64, from: "place[0]", minimum: -180, maximum: 180, description: A place.}}
"""
EARLY, LATE = date(2013, 1, 1), date(2013, 1, 2)
EARLY_MS, LATE_MS = 1_357_034_400_000, 1_357_120_800_000
"""10:00 UTC of these dates."""


def event(number: int, at: int = EARLY_MS, **fields: Any) -> bytes:
    return json.dumps({"Station": {"Code": "s", "Time": at}, "Nr": number, **fields}).encode()


def query(stream: Stream, text: str) -> list[Any]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(text.format(raw=f"raw.{stream.contract.table}", stream=stream.name).encode()).fetchall()


def rows(stream: Stream) -> list[Any]:
    return query(stream, "select number, _event_date, _lake_date from {raw} order by number")


def statistics(stream: Stream) -> list[Any]:
    return query(
        stream, "select event_date, rows, quarantined from ops.dates where stream = '{stream}' order by event_date"
    )


def assert_agrees(stream: Stream) -> None:
    for full in (True, False, False):
        result = reconcile(stream.settings, {stream.name: stream.contract}, full=full)
        assert result.agrees, result.text()
        by_date = {row.event_date: (row.raw, row.quarantined) for row in result.rows}
        assert by_date == {day: (valid, invalid) for day, valid, invalid in statistics(stream)}
        assert all(row.lake == row.raw + row.quarantined for row in result.rows)
    days = [day for day, *_ in statistics(stream)]
    assert reconcile_loaded(stream.settings, {stream.name: stream.contract}, days[:1]).agrees


def test_every_type_arrives_in_postgres_exactly(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(1, CONTRACT)
    price = "12345678901234567890.0123456789"
    full = event(1, clock="23:59:59.123456789", device="6F9619FF-8B86-D011-B42D-00C04FC964FF", place=[1.5, 2])
    full = full[:-1] + (
        b', "price": %s, "details": {"a": [1.10, "x\\"y\\n", {}], "n": 12345678901234567890.5},'
        b' "tags": ["a", null, "", "NULL", "q\\"\\\\,{}\\n"], "days": ["2013-01-31"],'
        b' "moments": ["2013-01-31T23:59:59.9999999+01:00"], "amounts": [1.10, "-2"],'
        b' "local": "2013-07-01T12:00:00"}' % price.encode()
    )
    stream.send([full, event(2), event(3, price="1.00000000001"), event(4, place=[181])])
    stream.land()
    report = load(stream.settings, stream.contract)
    assert (report.rows, report.quarantined) == (2, 2)
    found = query(
        stream,
        "select price, clock, device, details::text, tags, days, moments, amounts, local, longitude from {raw}"
        " order by number",
    )
    assert found == [
        (
            Decimal(price),
            time(23, 59, 59, 123_456),
            UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
            '{"a": [1.10, "x\\"y\\n", {}], "n": 12345678901234567890.5}',
            ["a", None, "", "NULL", 'q"\\,{}\n'],
            [date(2013, 1, 31)],
            [datetime(2013, 1, 31, 22, 59, 59, 999_999, tzinfo=UTC)],
            [Decimal("1.10"), Decimal(-2)],
            datetime(2013, 7, 1, 10, tzinfo=UTC),
            1.5,
        ),
        (None,) * 10,
    ]
    assert [reason for (reason,) in query(stream, "select reason from raw.quarantine where stream = '{stream}'")] == [
        'price: expected decimal(30, 10), found "1.00000000001"',
        "longitude: 181 is above the maximum 180",
    ]
    assert not reload(stream.settings, stream.contract, EARLY).changed
    assert_agrees(stream)


@pytest.mark.essential
def test_events_belong_to_their_own_date_whatever_their_records_timestamps_are(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(2, CONTRACT)
    # Most of a date's events come with its own timestamps, others with the next date's, and one is from a month before.
    stream.send([event(1), event(2), event(3, LATE_MS)], EARLY_MS)
    stream.send([event(4), event(5, LATE_MS), event(6, EARLY_MS - 31 * 86_400_000), b"nope"], LATE_MS, partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    december = EARLY - timedelta(days=31)
    expected = [
        (1, EARLY, None),
        (2, EARLY, None),
        (3, LATE, EARLY),
        (4, EARLY, LATE),
        (5, LATE, None),
        (6, december, LATE),
    ]
    assert rows(stream) == expected
    assert statistics(stream) == [(december, 1, 0), (EARLY, 3, 0), (LATE, 2, 1)]
    assert_agrees(stream)
    for day in (EARLY, LATE, december):
        assert not reload(stream.settings, stream.contract, day).changed
        assert rows(stream) == expected
        assert_agrees(stream)

    # A row that is lost is written again by the reload of its event date, and no other date changes.
    with connect(stream.settings, "loader") as loader:
        loader.execute(f"delete from raw.{stream.contract.table} where number = 4".encode())
    assert not reconcile(stream.settings, {stream.name: stream.contract}, full=True).agrees
    assert reload(stream.settings, stream.contract, EARLY).changed
    assert rows(stream) == expected
    assert_agrees(stream)
    stale = query(stream, "select distinct event_date from ops.stale_dates where stream = '{stream}'")
    assert {day for (day,) in stale} == {december, EARLY, LATE}


def test_a_contract_that_takes_the_time_from_elsewhere_moves_its_events(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(1, CONTRACT)
    stream.send([event(1), event(2, LATE_MS), event(3, LATE_MS, place=[200])], EARLY_MS)
    stream.land()
    load(stream.settings, stream.contract)
    assert rows(stream) == [(1, EARLY, None), (2, LATE, EARLY)]

    path = stream.settings.contracts / f"{stream.name}.yaml"
    path.write_text(path.read_text().replace("event_time: at", "event_time: record"))
    contracts = load_contracts(stream.settings.contracts)
    schema.provision(stream.settings, contracts)
    stream.contract = contracts[stream.name]
    assert reload(stream.settings, stream.contract, EARLY).changed
    assert rows(stream) == [(1, EARLY, None), (2, EARLY, None)]
    assert statistics(stream)[0] == (EARLY, 2, 1)
    assert_agrees(stream)


def test_a_record_that_leaves_quarantine_goes_to_its_own_date(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(1, CONTRACT)
    stream.send([event(1), event(2, LATE_MS, place=[200]), event(3, place=[200])], EARLY_MS)
    stream.land()
    load(stream.settings, stream.contract)
    assert statistics(stream) == [(EARLY, 1, 2)]

    path = stream.settings.contracts / f"{stream.name}.yaml"
    path.write_text(path.read_text().replace("maximum: 180", "maximum: 360"))
    contracts = load_contracts(stream.settings.contracts)
    stream.contract = contracts[stream.name]
    (moved,) = replay(stream.settings, contracts, Selection(stream=stream.name), "tests")
    assert (moved.moved, moved.left) == (2, 0)
    assert rows(stream) == [(1, EARLY, None), (2, LATE, EARLY), (3, EARLY, None)]
    assert statistics(stream) == [(EARLY, 2, 0), (LATE, 1, 0)]
    assert_agrees(stream)
    assert not reload(stream.settings, stream.contract, LATE).changed
