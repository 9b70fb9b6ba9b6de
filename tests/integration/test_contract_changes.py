"""A changed contract: what loses nothing is applied, everything else is refused and costs only its own stream."""

import threading
from collections.abc import Callable

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from infra.launch.provisioning import Provisioning
from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.kafka import topics
from sluice.load import load
from sluice.settings import Settings
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream

EVENT = b'{"event_id": "%d", "sensor": "a", "read_at": "2013-01-01T10:15:00Z", "reading": %d}'
READING = "{name: reading, type: int32, minimum: 0, description: Value of the reading.}"


def change(stream: Stream, *replacements: tuple[str, str]) -> dict[str, Contract]:
    """Changes the text of the stream's contract and returns its folder's contracts."""
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    for original, replacement in replacements:
        assert original in text
        text = text.replace(original, replacement)
    path.write_text(text)
    contracts = load_contracts(stream.settings.contracts)
    contracts.require_all()
    stream.contract = contracts[stream.name]
    return contracts


def provision(stream: Stream, contracts: dict[str, Contract]) -> list[str]:
    lines: list[str] = []
    schema.provision(stream.settings, contracts, lines.append)
    return lines


def launch(settings: Settings, contracts: dict[str, Contract]) -> tuple[Provisioning, list[str]]:
    """Runs a launch's steps that provision topics and tables; returns them and what they report."""
    lines: list[str] = []
    provisioning = Provisioning(settings, contracts)
    steps = {step.name: step for step in provisioning.steps(lambda: None, lines.append)}
    for name in ("contracts", "topics", "warehouse"):
        steps[name].run(threading.Event())
    return provisioning, lines


def rows(stream: Stream, columns: str) -> list[tuple[object, ...]]:
    with connect(stream.settings, "reader") as reader:
        query = f"select {columns} from raw.{stream.contract.table} order by event_id"
        return reader.execute(query.encode()).fetchall()


def quarantined(stream: Stream) -> int:
    with connect(stream.settings, "reader") as reader:
        return len(reader.execute("select from raw.quarantine where stream = %s", (stream.name,)).fetchall())


@pytest.mark.essential
def test_a_removed_column_a_wider_type_and_a_lifted_constraint_load_on(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    change(stream, (READING, READING.replace("minimum: 0", "nullable: false")))
    table = f"raw.{stream.contract.table}"
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f"alter table {table} alter column reading set not null".encode())
    stream.send([EVENT % (1, 7)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1

    wider = change(stream, ("type: int32, nullable: false", "type: int64"))
    # Before the launch, the load ends with an error: no record is to blame, and none goes to quarantine.
    stream.send([EVENT % (2, 1 << 40)])
    stream.land()
    with pytest.raises(TerminalError, match=r"reading: integer → bigint, reading: may be null.*run `make up`"):
        load(stream.settings, stream.contract)
    assert provision(stream, wider) == [f"{table}: reading: integer → bigint", f"{table}: reading: may be null"]
    assert load(stream.settings, stream.contract).rows == 1
    assert rows(stream, "event_id, reading") == [("1", 7), ("2", 1 << 40)]

    # Renamed: the old column stays, for the rows that have it.
    renamed = change(stream, ("sensor,", "device,"), ("key: sensor", "key: device"))
    assert provision(stream, renamed) == [
        f"{table}: device: added",
        f"{table}: sensor: no longer in the contract; the column stays, and new rows have null",
    ]
    assert provision(stream, renamed) == []
    stream.send([b'{"event_id": "3", "device": "b", "read_at": "2013-01-01T10:15:00Z"}'])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    assert rows(stream, "event_id, sensor, device") == [("1", "a", None), ("2", "a", None), ("3", None, "b")]
    assert quarantined(stream) == 0


@pytest.mark.essential
def test_a_contract_that_cannot_be_applied_is_refused_before_anything_changes_and_costs_its_own_stream(
    make_stream: Callable[..., Stream],
) -> None:
    stream, other = make_stream(partitions=1), make_stream(partitions=1)
    refused = change(
        stream,
        (READING, f"{READING.replace('int32, minimum: 0', 'string')}\n  - {READING.replace('reading,', 'extra,')}"),
        ("partitions: 1", "partitions: 2"),
    )
    accepted = change(other, (READING, READING.replace("int32", "int64")))
    provisioning, lines = launch(stream.settings, {**refused, **accepted})
    (warning,) = provisioning.warnings()
    assert f"{stream.name}: raw.{stream.contract.table}.reading has type integer" in warning
    assert "Hint: set its type back to int32, and declare a new column" in warning
    assert lines == [warning, f"raw.{other.contract.table}: reading: integer → bigint"]
    # Neither the new column nor the new partition of the refused contract.
    assert len(topics.kafka_ranges(stream.settings, stream.topics)) == 1
    with pytest.raises(Exception, match="extra"):
        rows(stream, "extra")
    # Its records wait in the lake until the contract is changed back.
    stream.send([EVENT % (1, 7)])
    stream.land()
    with pytest.raises(TerminalError, match="set its type back to int32"):
        load(stream.settings, stream.contract)
    assert quarantined(stream) == 0
    change(stream, ("reading, type: string", "reading, type: int32"))
    assert launch(stream.settings, load_contracts(stream.settings.contracts))[0].warnings() == []
    assert load(stream.settings, stream.contract).rows == 1


def test_a_view_on_a_column_whose_type_changes_is_named(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    table = f"raw.{stream.contract.table}"
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f'create view public."v {stream.name}" as select reading + 1 as more from {table}'.encode())
    contracts = change(stream, (READING, READING.replace("int32", "int64")))
    refused = schema.refused_contracts(stream.settings, contracts)
    assert f'integer → bigint) while a view reads it: "v {stream.name}"' in str(refused[stream.name])
    with pytest.raises(TerminalError, match="while a view reads it"):
        schema.provision(stream.settings, contracts)
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f'drop view public."v {stream.name}"'.encode())
    assert provision(stream, contracts) == [f"{table}: reading: integer → bigint"]


def test_a_session_that_blocks_a_change_is_named_and_the_other_streams_are_changed(
    make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "100ms")
    blocked, other = make_stream(), make_stream()
    contracts = {
        **change(blocked, (READING, READING.replace("int32", "int64"))),
        **change(other, (READING, READING.replace("int32", "int64"))),
    }
    with connect(blocked.settings, "reader") as reader:
        reader.execute(f"select from raw.{blocked.contract.table}".encode())
        pid = reader.info.backend_pid
        provisioning, lines = launch(blocked.settings, contracts)
    (warning,) = provisioning.warnings()
    assert (
        f"raw.{blocked.contract.table} cannot be changed: it is locked by pid {pid} (sluice_reader, idle in" in warning
    )
    assert lines == [f"raw.{other.contract.table}: reading: integer → bigint"]
    assert provision(blocked, contracts) == [f"raw.{blocked.contract.table}: reading: integer → bigint"]


@pytest.mark.essential
def test_a_topic_converges_to_its_contract_and_says_what_changed(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    with topics.admin(stream.settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream.name, {"retention.ms": "1000"})])
    contracts = change(stream, ("partitions: 1", "partitions: 2"), ("1073741824", "2147483648"))
    assert sorted(topics.provision(stream.settings, contracts).changes) == [
        f"topic {stream.name}: partitions 1 → 2",
        f"topic {stream.name}: retention.bytes 1073741824 → 2147483648",
        f"topic {stream.name}: retention.ms 1000 → -1",
    ]
    assert topics.provision(stream.settings, contracts) == topics.Provisioned((), ())


def test_a_compacted_topic_and_one_whose_name_collides_are_refused(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    with topics.admin(stream.settings) as admin:
        compact = {"cleanup.policy": "compact,delete"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stream.name, compact)])
    contracts = load_contracts(stream.settings.contracts)
    with pytest.raises(TerminalError, match=r"has cleanup\.policy=compact,delete"):
        topics.provision(stream.settings, contracts)
    collides = stream.contract.model_copy(update={"stream": f"{stream.name}.more"})
    with topics.admin(stream.settings) as admin:
        admin.create_topics({collides.table: {"num_partitions": 1}}, wait_for_metadata=True)
    refused = topics.refused_contracts(stream.settings, {**contracts, collides.stream: collides})
    assert sorted(refused) == sorted([stream.name, collides.stream])
    assert f"Kafka has a topic {collides.table}" in str(refused[collides.stream])


def test_the_sink_keeps_writing_a_stream_whose_contract_became_invalid_and_skips_one_without_a_topic(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    path = stream.settings.contracts / f"{stream.name}.yaml"
    (stream.settings.contracts / "never.provisioned.yaml").write_text(
        path.read_text().replace(f"stream: {stream.name}", "stream: never.provisioned")
    )
    path.write_text("stream: [")
    stream.send([EVENT % (1, 7)])
    stream.land()
    # Nothing was lost: once the contract is valid again, the record is loaded.
    assert load(stream.settings, stream.contract).rows == 1
