"""Which events a staging model has, for every identity that a contract can give them, equals a few lines of Python."""

import json
import shutil
from datetime import date, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from producers.events import Event
from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.marts import FIRST, Marts, make_marts

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
    item: str
    tombstone: bool = False


class Step(NamedTuple):
    """Records that are loaded, and offsets whose rows are gone afterwards, as if a reload had found them invalid.

    A tombstone does not become invalid.
    """

    records: list[Record]
    gone: frozenset[int] = frozenset()


records = st.lists(st.builds(Record, st.sampled_from(DAYS), st.sampled_from("ab"), st.booleans()), max_size=4)
steps = st.lists(st.builds(Step, records, st.frozensets(st.integers(0, 5), max_size=2)), min_size=2, max_size=3)


@pytest.fixture(scope="module")
def marts(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    folder = tmp_path_factory.mktemp("identity")
    (folder / "contracts").mkdir()
    for name, identity in IDENTITIES.items():
        (folder / "contracts" / f"items.{name}.yaml").write_text(CONTRACT.format(name=name, identity=identity))
    made = make_marts(servers.model_copy(update={"contracts": folder / "contracts"}), folder, "event_identity")
    # Without the models of flights, a transform takes a few seconds.
    for part in ("models", "tests", "seeds"):
        shutil.rmtree(made.settings.dbt / part)
    (made.settings.dbt / "models" / "staging").mkdir(parents=True)
    for name in IDENTITIES:
        model = made.settings.dbt / "models" / "staging" / f"stg_items_{name}.sql"
        model.write_text(f"{{{{ stage_events('items_{name}', ['shelf', 'item', 'at', 'value']) }}}}\n")
    return made


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
# An event is corrected on a later date and deleted on another; then its first date is loaded again.
@example(
    script=[
        Step([Record(DAYS[0], "a"), Record(DAYS[1], "a")]),
        Step([Record(DAYS[2], "a", tombstone=True)]),
        Step([Record(DAYS[0], "b")]),
        Step([], frozenset({1})),
    ]
)
# The last of three events is gone, so the one before it counts again; it is on a date that did not change.
@example(script=[Step([Record(day, "a") for day in DAYS]), Step([], frozenset({2})), Step([], frozenset({0}))])
def test_the_events_that_count_are_staged(marts: Marts, script: list[Step]) -> None:
    reset(marts)
    log: dict[int, Record] = {}
    for step in script:
        start = marts.raw._next_offsets["items.first"]
        log |= dict(enumerate(step.records, start))
        for name in IDENTITIES:
            marts.raw.fill(events(name, step.records))
        remove(marts, log, {offset for offset in step.gone if offset in log and not log[offset].tombstone})
        marts.transform()
        assert not marts.stale_dates()
        for name in IDENTITIES:
            staged = marts.query(f"select _offset from staging.stg_items_{name} order by 1", "transformer")
            assert staged["_offset"].tolist() == expected(name, log), (name, log)


def reset(marts: Marts) -> None:
    """Empties the streams; offsets begin at 0 again."""
    with connect(marts.settings, "postgres") as owner:
        for name in IDENTITIES:
            owner.execute(f"truncate raw.items_{name}".encode())
            if owner.execute("select to_regclass(%s)", (f"staging.stg_items_{name}",)).fetchone() != (None,):
                owner.execute(f"truncate staging.stg_items_{name}".encode())
    for name in IDENTITIES:
        marts.raw._next_offsets[f"items.{name}"] = 0


def events(name: str, of_step: list[Record]) -> list[Event]:
    found = []
    for number, record in enumerate(of_step):
        moment = datetime.fromisoformat(f"{record.day}T12:00:00+00:00")
        fields = {"shelf": 1, "item": record.item, "at": moment.isoformat(), "value": number}
        is_tombstone = record.tombstone and name == "deleted"
        value = None if is_tombstone else json.dumps(fields).encode()
        milliseconds = int(moment.timestamp() * 1000)
        key = record.item.encode()
        found.append(Event(f"items.{name}", key, value, milliseconds, milliseconds))  # type: ignore[arg-type]
    return found


def remove(marts: Marts, log: dict[int, Record], offsets: set[int]) -> None:
    days = sorted({log.pop(offset).day for offset in offsets})
    with connect(marts.settings, "loader") as loader:
        for name in IDENTITIES:
            loader.execute(f"delete from raw.items_{name} where _offset = any(%s)".encode(), (sorted(offsets),))
            loader.execute(
                "insert into ops.stale_dates (stream, event_date) select %s, unnest(%s::date[])",
                (f"items.{name}", days),
            )


def expected(name: str, log: dict[int, Record]) -> list[int]:
    """Returns the offsets of the events that count."""
    kept: dict[str, int | None] = {}
    for offset, record in sorted(log.items()):
        if name == "each":
            kept[str(offset)] = offset
        elif name == "first":
            kept.setdefault(record.item, offset)
        else:
            kept[record.item] = None if record.tombstone and name == "deleted" else offset
    return sorted(offset for offset in kept.values() if offset is not None)
