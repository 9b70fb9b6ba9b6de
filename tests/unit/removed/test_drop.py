"""What a removed contract leaves is named, and dropped only if nothing uses it; an interrupted drop can be repeated."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import drop_stream
from sluice.alerts import Change
from sluice.contracts import Contracts, InvalidContract, load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka.deletion import TopicUse
from sluice.lake.deletion import TableSize
from sluice.removed import drop as module
from sluice.removed import remains as remains_module
from sluice.removed.drop import drop, find_dropped
from sluice.removed.remains import Remains, removed_contracts
from sluice.settings import ROOT, Settings
from sluice.warehouse.streams import StreamSize

SETTINGS = Settings(contracts=ROOT / "contracts")
CONTRACTS = load_contracts(ROOT / "contracts")
TOPIC = TopicUse(4, 1234, ("sluice-sink-lake-1",), ())
EVERYTHING = Remains("a.b", "a.b", TOPIC, TableSize(12, 3 << 20), StreamSize(1200, 1 << 20, 34, 1))
NOTHING = Remains("a.b", "a.b", None, TableSize(0, 0), StreamSize(None, 0, 0, 0))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What there is of the stream a.b; tests change it."""
    state = SimpleNamespace(remains=EVERYTHING)
    monkeypatch.setattr(module, "removed_streams", lambda settings, contracts: {"a.b": "a.b"})
    monkeypatch.setattr(module, "remains", lambda settings, contracts, stream, topic: state.remains)
    return state


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of a drop, in order; a step whose name is in the list beforehand, after a !, fails."""
    steps: list[str] = []

    def step(name: str, result: Any = None) -> Any:
        def run(*_: object) -> Any:
            if f"!{name}" in steps:
                raise TransientError(f"{name} is down")
            steps.append(name)
            return result

        return run

    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def execute(self, *_: object) -> None:
            return None

    monkeypatch.setattr(module, "delete_topic", step("kafka"))
    monkeypatch.setattr(module, "delete_table", step("minio"))
    monkeypatch.setattr(
        module, "clear_alerts_of_removed", step("alerts", [Change("clock", "a.b", "slow", cleared=True)])
    )
    monkeypatch.setattr(module, "connect", lambda settings, role: Connection())
    monkeypatch.setattr(module.warehouse_streams, "drop_stream", step("warehouse"))
    return steps


def test_what_is_left_is_named_with_sizes_and_counts() -> None:
    assert EVERYTHING.text() == (
        "removed contract: a.b is no longer loaded; it leaves topic a.b (4 partitions, 1,234 records); its offsets in"
        " the consumer groups sluice-sink-lake-1; lake table a.b (12 objects, 3.0 MiB); raw.a_b (1,200 rows, 1.0 MiB);"
        " 34 records in quarantine; statistics of 1 date. `make drop-stream NAME=a.b` deletes all of it; a contract of"
        " that name takes it up again"
    )
    assert "it leaves an entry in the list of streams." in NOTHING.text()


def test_a_stream_with_a_contract_is_not_dropped_even_if_the_contract_is_not_valid(found: SimpleNamespace) -> None:
    with pytest.raises(
        TerminalError, match=r"weather\.observed has a contract. Hint: remove its file and run `make up`"
    ):
        find_dropped(SETTINGS, CONTRACTS, "weather.observed")
    invalid = Contracts((), [InvalidContract(Path("contracts/a.b.yaml"), "line 1: no", "fix it", "a.b")])
    with pytest.raises(TerminalError, match=r"a\.b has a contract that is not valid, contracts/a\.b\.yaml"):
        find_dropped(SETTINGS, invalid, "a.b")


def test_an_invalid_contract_is_not_a_removed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def __enter__(self) -> "Connection":
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(remains_module, "connect", lambda settings, role: Connection())
    known = {stream: stream for stream in (*CONTRACTS, "a.b", "c.d")}
    monkeypatch.setattr(remains_module, "known_streams", lambda connection: known)
    contracts = Contracts(CONTRACTS.values(), [InvalidContract(Path("c.d.yaml"), "", "", "c.d")])
    assert remains_module.removed_streams(SETTINGS, contracts) == {"a.b": "a.b"}


def test_a_stream_that_is_still_read_is_not_dropped(found: SimpleNamespace) -> None:
    found.remains = Remains("a.b", "a.b", TopicUse(1, 1, (), ("sink", "other")), NOTHING.lake, NOTHING.warehouse)
    with pytest.raises(TransientError, match=r"group sink and other still reads topic a\.b. Hint: run `make up`"):
        find_dropped(SETTINGS, CONTRACTS, "a.b")
    found.remains = Remains("a.b", "a.b", None, NOTHING.lake, NOTHING.warehouse, ("public.v",))
    with pytest.raises(TerminalError, match=r"public\.v reads the raw table of a\.b. Hint: drop public\.v before"):
        find_dropped(SETTINGS, CONTRACTS, "a.b")


def test_a_topic_of_others_stays(found: SimpleNamespace, done: list[str]) -> None:
    use = TopicUse(1, 1, ("sluice-sink-lake-1", "other"), ("sluice-sink-lake-1", "other"))
    shared = Remains("a.b", "t", use, NOTHING.lake, NOTHING.warehouse, topic_stream="c.d")
    external = Remains("a.b", "t", use, NOTHING.lake, NOTHING.warehouse, external=True)
    for remains in (shared, external):
        drop(SETTINGS, remains, lambda _: None)
        assert "kafka" not in done
        assert list(remains.parts()) == []
    # The sink reads a shared topic for the other stream. Of an external one, only the sink must have stopped reading.
    assert shared.readers == ()
    assert external.readers == ("sluice-sink-lake-1",)
    found.remains = shared
    assert find_dropped(SETTINGS, CONTRACTS, "a.b") == shared
    found.remains = external
    with pytest.raises(TransientError, match=r"group sluice-sink-lake-1 still reads topic a\.b"):
        find_dropped(SETTINGS, CONTRACTS, "a.b")


def test_an_external_warehouse_needs_its_administrator(found: SimpleNamespace) -> None:
    settings = SETTINGS.model_copy(update={"warehouse_host": "db.example.com"})
    with pytest.raises(TerminalError, match=r"the warehouse is external. Hint: set SLUICE_WAREHOUSE_ADMIN_PASSWORD"):
        find_dropped(settings, CONTRACTS, "a.b")


def test_the_warehouse_is_dropped_last_so_that_an_interrupted_drop_can_be_repeated(done: list[str]) -> None:
    for down in ("kafka", "minio", "alerts", "warehouse"):
        done[:] = [f"!{down}"]
        with pytest.raises(TransientError, match=f"{down} is down"):
            drop(SETTINGS, EVERYTHING, lambda _: None)
        assert "warehouse" not in done
    done.clear()
    # As the topic is already gone.
    lines: list[str] = []
    assert drop(SETTINGS, Remains("a.b", "a.b", None, EVERYTHING.lake, EVERYTHING.warehouse), lines.append) == [
        Change("clock", "a.b", "slow", cleared=True)
    ]
    assert done == ["minio", "alerts", "warehouse"]
    assert lines == ["deleted lake table a.b", "deleted the raw table, quarantine, ledger and statistics of a.b"]


def test_a_server_that_is_down_costs_the_list_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise TransientError("Postgres is down")

    monkeypatch.setattr(remains_module, "removed_streams", down)
    assert removed_contracts(SETTINGS, CONTRACTS) == []


def run(*arguments: str) -> Any:
    app = typer.Typer()
    drop_stream.register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["drop-stream", *arguments])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, found: SimpleNamespace, done: list[str]) -> list[str]:
    monkeypatch.setattr(drop_stream, "load_settings", lambda: SETTINGS)
    monkeypatch.setattr(drop_stream, "_readers", lambda settings, found: ["models: marts.m"])
    return done


def test_the_command_lists_what_it_deletes_and_needs_a_confirmation(command: list[str]) -> None:
    refused = run("--", "a.b")
    assert isinstance(refused.exception, SluiceError)
    assert str(refused.exception).endswith("Hint: run `make drop-stream NAME=a.b FORCE=1`.")
    assert command == []
    assert refused.output.splitlines() == [
        "of a.b, this deletes:",
        *(f"  {part}" for part in EVERYTHING.parts()),
        "models: marts.m",
    ]
    forced = run("--force", "--", "a.b")
    assert forced.exit_code == 0
    assert command == ["kafka", "minio", "alerts", "warehouse"]
    assert forced.output.splitlines()[-1] == "cleared: clock: a.b: slow"


def test_the_command_names_what_the_dbt_project_has_of_the_stream(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"home": tmp_path})
    assert drop_stream._readers(settings, EVERYTHING) == []
    raw, node = "source.sluice.raw.a_b", {"fqn": ["sluice", "m"], "config": {"materialized": "table"}}
    nodes = {
        "model.sluice.m": node | {"resource_type": "model", "name": "m"},
        "snapshot.sluice.s": node | {"resource_type": "snapshot", "name": "s"},
        "test.sluice.t": {"resource_type": "test", "name": "t"},
    }
    manifest = {
        "nodes": nodes,
        "sources": {raw: {"name": "a_b", "source_name": "raw"}},
        "child_map": {raw: [*nodes, "exposure.sluice.reconcile", "exposure.sluice.e"]},
    }
    target = tmp_path / "dbt" / "target"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text(json.dumps(manifest))
    assert drop_stream._readers(settings, EVERYTHING) == [
        "dbt reads it in the following, which stay as they are and fail in each transform until you change or remove"
        " them: marts.m, marts.s, test t",
        "dbt refers to it in the following, which stay as they are: exposure e",
    ]


def test_the_last_contract_of_a_folder_can_be_removed_and_its_stream_dropped(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(drop_stream, "load_settings", lambda: SETTINGS.model_copy(update={"contracts": tmp_path}))
    assert run("--force", "--", "a.b").exit_code == 0
    assert command == ["kafka", "minio", "alerts", "warehouse"]


def test_the_command_can_be_repeated_and_names_an_unknown_stream(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "removed_streams", lambda settings, contracts: {})
    again = run("--force", "--", "a.b")
    assert (again.exit_code, again.output) == (
        0,
        "nothing to delete: the platform has no stream 'a.b' without a contract\n",
    )
    assert command == []
    assert "NAME is missing" in str(run("--", "").exception)
