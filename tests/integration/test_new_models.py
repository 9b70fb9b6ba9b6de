"""The models that `make new-stream` and `make new-mart` write are built, tested and published, with late events."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cli.new_files import write_files
from cli.new_mart import mart_files
from cli.new_stream import infer_contract, stream_files
from exercises.grading.raw_rows import RawRows
from producers.files import open_records
from producers.files.timeline import FileTimeline
from sluice.contracts import load_contracts
from sluice.settings import ROOT, Settings
from sluice.transform.dbt import Dbt
from sluice.warehouse import schema
from tests.fixtures.marts import Marts, make_marts
from tests.fixtures.quakes import QUAKES

STREAM = "quakes.reported"
MARTS = ("agg_quakes_daily", "agg_quakes_plain")


@pytest.fixture
def quakes(servers: Settings, tmp_path: Path) -> Marts:
    """A warehouse of a new stream with two new marts, without rows."""
    made = make_marts(servers, tmp_path, tmp_path.name)
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    settings = made.settings.model_copy(update={"contracts": contracts})
    contract, inference, texts = infer_contract(STREAM, QUAKES)
    write_files(stream_files(settings, contract, inference, texts))
    write_files(mart_files(settings, MARTS[0], contract, plain=False))
    write_files(mart_files(settings, MARTS[1], contract, plain=True))
    raw = RawRows(settings, load_contracts(settings.contracts))
    schema.provision(settings, raw.contracts)
    return Marts(settings, raw)


def by_date(features: list[dict]) -> dict[str, int]:
    """Returns the number of events per UTC date."""
    counts: dict[str, int] = {}
    for feature in features:
        day = f"{feature['properties']['time'] // 86_400_000}"
        counts[day] = counts.get(day, 0) + 1
    return counts


def contents(marts: Marts, name: str) -> dict[str, int]:
    rows = marts.query(f"select event_date - date '1970-01-01' as day, event_count from marts.{name}")
    return {str(row.day): row.event_count for row in rows.itertuples()}


def test_generated_models_count_the_events_of_each_date(quakes: Marts, tmp_path: Path) -> None:
    features = json.loads(QUAKES.read_text())["features"]
    contract = quakes.raw.contracts[STREAM]
    events = [event for batch in FileTimeline(contract, open_records(QUAKES)).batches() for event in batch]
    late = events[3]
    # One event is late, and another one is sent twice.
    quakes.raw.fill([event for event in events if event is not late] + [events[5]])
    quakes.transform()
    without_late = [feature for feature in features if feature["id"] != (late.key or b"").decode()]
    for name in MARTS:
        assert contents(quakes, name) == by_date(without_late)
    quakes.raw.fill([late])
    quakes.transform()
    for name in MARTS:
        assert contents(quakes, name) == by_date(features)
    assert len(by_date(features)) > 1
    dbt = Dbt(quakes.settings, quakes.lines.append)
    dbt.run("test", "--select", *(f"{name}_counts_events_per_date" for name in MARTS))
    assert len(dbt.completed()) == len(MARTS)


def test_generated_models_follow_the_contract(quakes: Marts) -> None:
    features = json.loads(QUAKES.read_text())["features"]
    contract = quakes.raw.contracts[STREAM]
    events = [event for batch in FileTimeline(contract, open_records(QUAKES)).batches() for event in batch]
    quakes.raw.fill([*events, events[5]])
    quakes.transform()
    counts = by_date(features)
    assert contents(quakes, MARTS[0]) == counts
    path = quakes.settings.contracts / f"{STREAM}.yaml"

    def change(old: str, new: str) -> None:
        text, count = re.subn(old, new, path.read_text(), flags=re.MULTILINE)
        assert count == 1
        path.write_text(text)
        contracts = load_contracts(quakes.settings.contracts)
        contracts.require_all()
        schema.provision(quakes.settings, contracts)
        Marts(quakes.settings, RawRows(quakes.settings, contracts), quakes.lines).transform()

    change(r"^id: .*", "id: [net, code]")
    assert contents(quakes, MARTS[0]) == counts
    # A column that models describe is removed from the contract.
    change(r"^  - name: place\n(    .*\n)+", "")
    assert contents(quakes, MARTS[0]) == counts
    # Without an id, an event that is sent twice counts twice.
    change(r"^id: .*", "")
    assert sum(contents(quakes, MARTS[0]).values()) == len(events) + 1


def test_events_from_before_the_contract_had_the_column_of_the_id_stay_apart(quakes: Marts) -> None:
    contract = quakes.raw.contracts[STREAM]
    events = [event for batch in FileTimeline(contract, open_records(QUAKES)).batches() for event in batch]
    quakes.raw.fill([*events, events[5]])
    quakes.transform()
    assert sum(contents(quakes, MARTS[0]).values()) == len(events)
    path = quakes.settings.contracts / f"{STREAM}.yaml"
    column = "columns:\n  - {name: quake, type: string, from: id, nullable: false, description: The id.}\n"
    text, count = re.subn(r"^id: .*", "id: quake", path.read_text().replace("columns:\n", column), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)
    contracts = load_contracts(quakes.settings.contracts)
    contracts.require_all()
    schema.provision(quakes.settings, contracts)
    changed = Marts(quakes.settings, RawRows(quakes.settings, contracts), quakes.lines)
    changed.raw._next_offsets = quakes.raw._next_offsets
    # The staging model does not name the new column. Each earlier record counts, also the one that was sent twice.
    changed.transform()
    assert sum(contents(changed, MARTS[0]).values()) == len(events) + 1
    # New records have ids: of two with the same one, one counts.
    changed.raw.fill([events[5], events[5]])
    changed.transform()
    assert sum(contents(changed, MARTS[0]).values()) == len(events) + 2
