"""A changed contract: what loses nothing is applied, everything else is refused and costs only its own stream."""

import threading
from collections.abc import Callable
from datetime import date

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from infra.launch.provisioning import Provisioning
from sluice.contracts import Contract, load_contracts
from sluice.errors import TerminalError
from sluice.kafka import topics
from sluice.load import load, reload
from sluice.settings import Settings
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream

EVENT = b'{"event_id": "%d", "sensor": "a", "read_at": "2013-01-01T10:15:00Z", "reading": %d}'
UUID = "{6f9619ff-8b86-d011-b42d-00c04fc964ff}"
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
        f"{table}: device: added; null in earlier rows until `make backfill` reloads their dates",
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
    stream.send([EVENT % (1, 7)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    refused = change(
        stream,
        (READING, f"{READING.replace('int32, minimum: 0', 'string')}\n  - {READING.replace('reading,', 'extra,')}"),
        ("partitions: 1", "partitions: 2"),
    )
    accepted = change(other, (READING, READING.replace("int32", "int64")))
    provisioning, lines = launch(stream.settings, {**refused, **accepted})
    (warning,) = provisioning.warnings()
    query = f"select * from raw.{stream.contract.table} as t where t.reading is not null"
    assert warning == (
        f"contract not applied, all others are: {stream.name}: raw.{stream.contract.table} cannot be changed"
        f' (reading: integer → text): 1 row does not fit, which `make sql Q="{query}"` shows. Hint: set its type back'
        " to int32, and declare a column of another name for the new type, with `from: reading`."
    )
    assert lines == [warning, f"raw.{other.contract.table}: reading: integer → bigint"]
    # Neither the new column nor the new partition of the refused contract.
    assert len(topics.kafka_ranges(stream.settings, stream.topics)) == 1
    with pytest.raises(Exception, match="extra"):
        rows(stream, "extra")
    # Its records wait in the lake until the contract is changed back.
    stream.send([EVENT % (2, 8)])
    stream.land()
    with pytest.raises(TerminalError, match=r"reading: integer → text, extra: added.*run `make up`"):
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
def test_an_added_column_is_filled_by_a_reload_and_becomes_not_null_once_no_row_lacks_it(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    table = f"raw.{stream.contract.table}"
    stream.send([EVENT.replace(b"}", b', "unit": "K"}') % (number, 7) for number in (1, 2)])
    stream.land()
    load(stream.settings, stream.contract)
    unit = "{name: unit, type: string, nullable: false, description: Unit of the value.}"
    contracts = change(stream, (READING, f"{READING}\n  - {unit}"))
    assert provision(stream, contracts) == [
        f"{table}: unit: added; null in earlier rows until `make backfill` reloads their dates"
    ]
    # The rows that lack it do not stand in the way, at this launch or the next.
    assert provision(stream, contracts) == []
    assert rows(stream, "event_id, unit") == [("1", None), ("2", None)]
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    assert rows(stream, "event_id, unit") == [("1", "K"), ("2", "K")]
    assert provision(stream, contracts) == [f"{table}: unit: required"]
    assert provision(stream, contracts) == []


def test_a_renamed_column_with_a_path_to_the_old_field_is_filled_by_a_reload(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    stream.send([EVENT % (1, 7)])
    stream.land()
    load(stream.settings, stream.contract)
    contracts = change(stream, ("{name: sensor,", "{name: device, from: sensor,"), ("key: sensor", "key: device"))
    assert len(provision(stream, contracts)) == 2
    assert rows(stream, "sensor, device") == [("a", None)]
    stream.send([EVENT % (2, 8)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    assert rows(stream, "sensor, device") == [(None, "a"), (None, "a")]
    assert quarantined(stream) == 0


@pytest.mark.essential
def test_a_narrower_type_is_applied_if_every_row_fits_and_refused_with_the_count_and_a_query_otherwise(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    table = f"raw.{stream.contract.table}"
    wide = change(stream, (READING, READING.replace("int32", "int64")))
    provision(stream, wide)
    stream.send([EVENT % (1, 7), EVENT % (2, 1 << 31), EVENT % (3, 1 << 40), EVENT % (4, (1 << 31) - 1)])
    stream.land()
    load(stream.settings, stream.contract)
    narrow = change(stream, ("int64", "int32"))
    query = f"select * from {table} as t where t.reading <= -2147483649 or t.reading >= 2147483648"
    refused = schema.refused_contracts(stream.settings, narrow)
    assert str(refused[stream.name]) == (
        f'{table} cannot be changed (reading: bigint → integer): 2 rows do not fit, which `make sql Q="{query}"` shows.'
        " Hint: set its type back to int64, and declare a column of another name for the new type, with `from:"
        " reading`."
    )
    with connect(stream.settings, "reader") as reader:
        assert reader.execute(query.encode()).rowcount == 2
    # As the guide says: limit the values, reload their dates, and narrow the type then.
    change(stream, ("int32, minimum: 0", "int64, minimum: 0, maximum: 2147483647"))
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    assert quarantined(stream) == 2
    contracts = change(stream, ("int64, minimum: 0, maximum: 2147483647", "int32, minimum: 0"))
    assert provision(stream, contracts) == [f"{table}: reading: bigint → integer"]
    assert rows(stream, "event_id, reading") == [("1", 7), ("4", (1 << 31) - 1)]
    assert load(stream.settings, stream.contract).rows == 0


@pytest.mark.parametrize(
    ("before", "after", "value", "fits"),
    [
        ("int64", "float64", 1 << 53, True),
        ("int64", "float64", (1 << 53) + 1, False),
        ("decimal(5, 2)", "decimal(4, 2)", 99.99, True),
        ("decimal(5, 2)", "decimal(4, 2)", 100.0, False),
        ("decimal(5, 2)", "decimal(5, 1)", 1.5, True),
        ("decimal(5, 2)", "decimal(5, 1)", 1.25, False),
        ("decimal(5, 2)", "int32", 7.0, True),
        ("float64", "int32", 7.0, True),
        ("float64", "int32", 7.5, False),
        ("float64", "int64", 1e19, False),
        ("float64", "decimal(5, 2)", 0.1, True),
        ("float64", "decimal(5, 2)", 0.125, False),
        ("float64", "decimal(5, 2)", 1000.0, False),
        ("string", "int32", None, True),
    ],
)
def test_a_number_fits_in_another_type_if_it_stays_the_same(
    make_stream: Callable[..., Stream], before: str, after: str, value: float | None, fits: bool
) -> None:
    stream = make_stream(partitions=1)
    former, present = (READING.replace("int32, minimum: 0", f'"{name}"') for name in (before, after))
    provision(stream, change(stream, (READING, former)))
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(
            f"insert into raw.{stream.contract.table}"
            " (event_id, sensor, read_at, reading, _event_date, _topic_id, _partition, _offset, _loaded_at)"
            " values ('1', 's', now(), %s, now(), '', 0, 0, now())".encode(),
            (value,),
        )
    contracts = change(stream, (former, present))
    if fits:
        assert len(provision(stream, contracts)) == 1
        ((found,),) = rows(stream, "reading::double precision")
        assert found == value
    else:
        with pytest.raises(TerminalError, match="1 row does not fit"):
            provision(stream, contracts)


@pytest.mark.parametrize(
    ("before", "after", "value", "converted"),
    [
        ("array(int32)", "array(int64)", "{1,NULL,2}", "{1,NULL,2}"),
        ("array(int64)", "array(int32)", "{1,NULL,2}", "{1,NULL,2}"),
        ("array(int64)", "array(int32)", "{1,NULL,4294967296}", None),
        ("array(decimal(5, 2))", "array(decimal(7, 2))", "{1.25}", "{1.25}"),
        ("array(decimal(5, 2))", "array(decimal(5, 1))", "{1.50,1.25}", None),
        ("array(float64)", "array(int32)", "{}", "{}"),
        ("array(uuid)", "array(string)", UUID, UUID),
        ("int64", "string", "7", None),
        ("boolean", "string", "true", None),
        ("uuid", "string", UUID.strip("{}"), UUID.strip("{}")),
        ("date", "string", "2020-03-01", "2020-03-01"),
        ("time", "string", "10:15:00.5", "10:15:00.5"),
        ("timestamp", "string", "2020-03-01 10:15:00+02", None),
        ("timestamp", "json", "2020-03-01 10:15:00.250+02", '"2020-03-01T08:15:00.25Z"'),
        ("timestamp", "json", "2020-03-01 10:15:00+00", '"2020-03-01T10:15:00Z"'),
        ("string", "json", 'a "word"', r'"a \"word\""'),
        ("int64", "json", "9007199254740993", "9007199254740993"),
        ("decimal(5, 2)", "json", "1.50", "1.50"),
        ("date", "json", "2020-03-01", '"2020-03-01"'),
        ("array(string)", "json", "{a,NULL}", '["a", null]'),
        ("array(timestamp)", "json", "{2020-03-01 10:15:00+00}", None),
        ("json", "string", '"a"', None),
        ("array(string)", "array(int32)", "{1}", None),
    ],
)
def test_a_value_becomes_one_of_a_type_that_has_room_for_all_of_them(
    make_stream: Callable[..., Stream], before: str, after: str, value: str, converted: str | None
) -> None:
    stream = make_stream(partitions=1)
    former, present = (READING.replace("int32, minimum: 0", f'"{name}"') for name in (before, after))
    provision(stream, change(stream, (READING, former)))
    with connect(stream.settings, "postgres") as postgres:
        for number, text in enumerate((value, None)):
            postgres.execute(
                f"insert into raw.{stream.contract.table}"
                " (event_id, sensor, read_at, reading, _event_date, _topic_id, _partition, _offset, _loaded_at)"
                " values (%s, 's', now(), %s, now(), '', 0, 0, now())".encode(),
                (str(number), text),
            )
    contracts = change(stream, (former, present))
    if converted is None:
        with pytest.raises(TerminalError, match="1 row does not fit"):
            provision(stream, contracts)
    else:
        assert len(provision(stream, contracts)) == 1
        assert rows(stream, "reading::text") == [(converted,), (None,)]


def test_a_column_becomes_required_once_no_row_lacks_it_and_loads_go_on_meanwhile(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    table = f"raw.{stream.contract.table}"
    without = b'{"event_id": "2", "sensor": "a", "read_at": "2013-01-01T10:15:00Z"}'
    stream.send([EVENT % (1, 7), without])
    stream.land()
    load(stream.settings, stream.contract)
    contracts = change(stream, (READING, READING.replace("int32", "int32, nullable: false")))
    assert str(schema.refused_contracts(stream.settings, contracts)[stream.name]) == (
        f"{table} cannot be changed (reading: required): 1 row does not fit, which `make sql"
        f' Q="select * from {table} as t where t.reading is null"` shows. Hint: reload the dates of these rows with'
        " `make backfill`, which fills the column or moves their events to quarantine, and run `make up` again; or set"
        " nullable: true."
    )
    stream.send([EVENT % (3, 9)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    assert provision(stream, contracts) == [f"{table}: reading: required"]
    assert rows(stream, "event_id, reading") == [("1", 7), ("3", 9)]
    assert quarantined(stream) == 1


def test_a_tightened_limit_concerns_new_events_and_reloads(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream()
    stream.send([EVENT % (1, 7)])
    stream.land()
    load(stream.settings, stream.contract)
    contracts = change(stream, ("minimum: 0", "minimum: 8"))
    assert schema.refused_contracts(stream.settings, contracts) == {}
    assert provision(stream, contracts) == []
    stream.send([EVENT % (2, 7), EVENT % (3, 8)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    assert rows(stream, "event_id") == [("1",), ("3",)]
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    assert rows(stream, "event_id") == [("3",)]
    assert quarantined(stream) == 2


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
