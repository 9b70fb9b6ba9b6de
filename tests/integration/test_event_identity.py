"""Which events a staging model has, for every identity that a contract can give them, equals a few lines of Python."""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import NamedTuple

import pytest

from producers.events import Event
from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.marts import FIRST, Marts, make_staging

CONTRACT = """\
stream: items.{name}
description: Changes of items.
owner: tests
topic: {{partitions: 1, retention_bytes: 1048576}}
key: item
{identity}
event_time: at
lateness: 48h
load: {{schedule: "*/5 * * * *"}}
columns:
  - {{name: shelf, type: int32, nullable: false, description: Part of the id.}}
  - {{name: item, type: string, nullable: false, description: Part of the id.}}
  - {{name: at, type: timestamp, nullable: false, description: Time.}}
  - {{name: value, type: int32, description: Value.}}
"""
IDENTITIES = {
    "first": "id: [shelf, item]",
    "last": "id: [shelf, item]\nkeep: last",
    "deleted": "id: item\nkeep: last\ndeletes: tombstone",
    "each": "",
}
DAYS = [FIRST + timedelta(days=n) for n in range(3)]


class Record(NamedTuple):
    """A record of every stream, at the same offset; a tombstone of the stream that knows them."""

    day: date
    tombstone: bool = False


class Step(NamedTuple):
    """Records of an item that are loaded, and which of all its records are gone afterwards, counted from 0.

    They are gone as if a reload had found them invalid. A tombstone does not become invalid.
    """

    records: Sequence[Record] = ()
    gone: frozenset[int] = frozenset()


# What an item's steps can change is on these dates; the other dates' rows stay as they are built.
STEPS = [DAYS, DAYS[2:], DAYS[:1], DAYS[1:2]]
FURTHER_STEPS = 3
ITEMS = 100
WELL_KNOWN = {
    # An event is corrected on a later date and deleted on another; then its first date is loaded again.
    "corrected": [
        Step([Record(DAYS[0]), Record(DAYS[1])]),
        Step([Record(DAYS[2], tombstone=True)]),
        Step(),
        Step(gone=frozenset({1})),
    ],
    # The last of three events is gone, so the one before it counts again; it is on a date that did not change.
    "thrice": [Step([Record(day) for day in DAYS]), Step(gone=frozenset({2})), Step(gone=frozenset({0})), Step()],
}


def histories(random: Random) -> dict[str, list[Step]]:
    """Returns the steps of each item: all have as many, and each has a history of its own."""
    steps = [*STEPS, *(random.sample(DAYS, random.choice([1, 1, 2])) for _ in range(FURTHER_STEPS))]
    found = {item: [*known, *(Step() for _ in range(FURTHER_STEPS))] for item, known in WELL_KNOWN.items()}
    return found | {f"item {number}": history(random, steps) for number in range(ITEMS)}


def history(random: Random, steps: list[list[date]]) -> list[Step]:
    found: list[Step] = []
    present: dict[int, Record] = {}
    count = 0
    for days in steps:
        records = [Record(random.choice(days), random.random() < 0.3) for _ in range(random.choice([0, 0, 1, 1, 2]))]
        present |= dict(enumerate(records, count))
        count += len(records)
        gone = {
            number
            for number, record in present.items()
            if record.day in days and not record.tombstone and random.random() < 0.2
        }
        for number in gone:
            del present[number]
        found.append(Step(records, frozenset(gone)))
    return found


@pytest.fixture(scope="module")
def marts(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    contracts = {f"items.{name}": CONTRACT.format(name=name, identity=text) for name, text in IDENTITIES.items()}
    return make_staging(servers, tmp_path_factory.mktemp("identity"), "event_identity", contracts)


def test_the_events_that_count_are_staged(marts: Marts, seed: int) -> None:
    by_item = histories(Random(seed))
    logs: dict[str, dict[int, Record]] = {item: {} for item in by_item}
    offsets: dict[str, list[int]] = {item: [] for item in by_item}
    for number in range(len(STEPS) + FURTHER_STEPS):
        records = [(item, record) for item, steps in by_item.items() for record in steps[number].records]
        for offset, (item, record) in enumerate(records, sum(map(len, offsets.values()))):
            logs[item][offset] = record
            offsets[item].append(offset)
        for name in IDENTITIES:
            marts.raw.fill(events(name, records))
        remove(
            marts,
            {
                offset: logs[item].pop(offset)
                for item, steps in by_item.items()
                for offset in (offsets[item][position] for position in steps[number].gone)
            },
        )
        marts.transform()
        assert not marts.stale_dates()
        for name in IDENTITIES:
            rows = marts.query(f"select item, _offset from staging.stg_items_{name} order by _offset", "transformer")
            for item, log in logs.items():
                staged = rows["_offset"][rows["item"] == item].tolist()
                assert staged == expected(name, log), (name, item, offsets[item], by_item[item][: number + 1])
            assert set(rows["item"]) <= by_item.keys()


def events(name: str, records: list[tuple[str, Record]]) -> list[Event]:
    found = []
    for number, (item, record) in enumerate(records):
        moment = datetime.fromisoformat(f"{record.day}T12:00:00+00:00")
        fields = {"shelf": 1, "item": item, "at": moment.isoformat(), "value": number}
        is_tombstone = record.tombstone and name == "deleted"
        value = None if is_tombstone else json.dumps(fields).encode()
        milliseconds = int(moment.timestamp() * 1000)
        found.append(Event(f"items.{name}", item.encode(), value, milliseconds, milliseconds))  # type: ignore[arg-type]
    return found


def remove(marts: Marts, gone: dict[int, Record]) -> None:
    days = sorted({record.day for record in gone.values()})
    with connect(marts.settings, "loader") as loader:
        for name in IDENTITIES:
            loader.execute(f"delete from raw.items_{name} where _offset = any(%s)".encode(), (sorted(gone),))
            loader.execute(
                "insert into ops.stale_dates (stream, event_date) select %s, unnest(%s::date[])",
                (f"items.{name}", days),
            )


def expected(name: str, log: dict[int, Record]) -> list[int]:
    """Returns the offsets of an item's events that count."""
    kept: list[int] = []
    for offset, record in sorted(log.items()):
        if name == "each":
            kept.append(offset)
        elif name == "first":
            kept = kept or [offset]
        else:
            kept = [] if record.tombstone and name == "deleted" else [offset]
    return kept
