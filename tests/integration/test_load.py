"""The load on real servers: each offset once in raw or quarantine, even if loads are repeated or run concurrently."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from sluice.contracts import Column
from sluice.errors import TerminalError
from sluice.lake import bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.load import LoadReport, load, mark_stale, reload
from sluice.load.reload import Reload
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream

THIRD_MS = 1_357_200_000_000
"""2013-01-03T08:00:00Z."""


def _event(number: int, **changes: object) -> bytes:
    event = {"event_id": f"e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": number}
    return json.dumps(event | changes).encode()


def _query(stream: Stream, query: str) -> list[tuple[object, ...]]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(query.format(raw=f"raw.{stream.contract.table}", stream=stream.name).encode()).fetchall()


def _assert_agrees(stream: Stream) -> None:
    result = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert result.agrees, result.text()
    assert not result.in_flight, result.text()


def _damage(stream: Stream, values: list[bytes]) -> str:
    """Replaces the values in the stream's only file, without a change of its size; returns its path."""
    keeper, uri = bucket.client(stream.settings, "keeper"), table_uri(stream.settings, stream.name)
    options = storage_options(stream.settings, "keeper")
    (path,) = (file.removeprefix(f"{uri}/") for file in DeltaTable(uri, storage_options=options).file_uris())
    place = {"bucket_name": stream.settings.lake_bucket, "object_name": f"{stream.name}/{path}"}
    original = keeper.get_object(**place).read()
    rows = pq.ParquetFile(pa.BufferReader(original)).read()
    rows = rows.set_column(rows.schema.get_field_index("value"), "value", pa.array(values, pa.binary()))
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd", use_dictionary=False, write_statistics=False, store_schema=False)
    data = buffer.getvalue().to_pybytes()
    # The footer is found from the end, and finds everything else from the start.
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data = data[:footer] + b"\0" * (len(original) - len(data)) + data[footer:]
    assert len(data) == len(original)
    keeper.put_object(**place, data=io.BytesIO(data), length=len(data))
    return path


@pytest.mark.essential
def test_a_load_writes_rows_quarantine_ledger_and_stale_dates(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    stream.send([_event(n) for n in range(5)])
    third = "2013-01-03T08:00:00Z"
    bad = [_event(5, reading=-1, read_at=third), b"nope", None, _event(6, sensor=None)]
    stream.send([*bad, _event(6, read_at=third, other="field")], THIRD_MS, partition=1)
    stream.land()

    report = load(stream.settings, stream.contract)

    assert (report.rows, report.quarantined) == (6, 4)
    assert report.dates == [date(2013, 1, 1), date(2013, 1, 3)]
    assert _query(stream, "select event_id, reading, _event_date::text, _offset from {raw} order by reading") == [
        *((f"e{n}", n, "2013-01-01", n) for n in range(5)),
        ("e6", 6, "2013-01-03", 4),
    ]
    assert _query(
        stream, "select \"offset\", reason, value from raw.quarantine where stream = '{stream}' order by 1"
    ) == [
        (0, "reading: -1 is below the minimum 0", bad[0]),
        (1, "not JSON: Expecting value at character 0", b"nope"),
        (2, "no value", None),
        (3, "sensor: null, but it is required", bad[3]),
    ]
    assert _query(
        stream,
        "select partition, start_offset, next_offset, rows, quarantined from ops.loads"
        " where stream = '{stream}' and next_offset > 0 order by 1",
    ) == [(0, 0, 5, 5, 0), (1, 0, 5, 1, 4)]
    assert _query(
        stream, "select event_date::text, built_at from ops.stale_dates where stream = '{stream}' order by 1"
    ) == [("2013-01-01", None), ("2013-01-03", None)]
    _assert_agrees(stream)


@pytest.mark.essential
def test_repeated_and_concurrent_loads_change_nothing(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    for partition in (0, 1):
        stream.send([_event(n) for n in range(200)], partition=partition)
    stream.land()
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: load(stream.settings, stream.contract), range(4)))
    assert sum(report.rows for report in reports) == 400
    assert load(stream.settings, stream.contract).rows == 0
    _assert_agrees(stream)


@pytest.mark.essential
def test_a_reloaded_date_is_unchanged(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(n) for n in range(5)])
    stream.send([b"nope", _event(7, read_at="2013-01-03T08:00:00Z")], THIRD_MS)
    stream.land()
    load(stream.settings, stream.contract)
    rows = "select event_id, reading, _event_date, _offset from {raw} order by _offset"
    before = _query(stream, rows)
    stream.send([_event(8)])
    stream.land()

    for day in (date(2013, 1, 1), date(2013, 1, 3), date(2013, 1, 2)):
        reload(stream.settings, stream.contract, day)

    assert _query(stream, rows) == before
    assert load(stream.settings, stream.contract).rows == 1
    _assert_agrees(stream)


@pytest.mark.essential
def test_lost_raw_rows_are_a_disagreement_until_their_date_is_reloaded(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(n) for n in range(5)])
    stream.land()
    load(stream.settings, stream.contract)
    with connect(stream.settings, "loader") as loader:
        loader.execute(f"delete from raw.{stream.contract.table} where reading = 3".encode())
    result = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert not result.agrees
    assert "2013-01-01: the lake has 5 rows, the warehouse 4 and 0 in quarantine" in result.text()
    reload(stream.settings, stream.contract, date(2013, 1, 1))
    _assert_agrees(stream)


def test_a_reload_of_a_damaged_file_changes_nothing_and_names_it(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(n) for n in range(5)])
    stream.land()
    load(stream.settings, stream.contract)
    rows = "select event_id, reading from {raw} order by 1"
    before = _query(stream, rows)
    # Still valid JSON, of another reading; Parquet and the log see no difference.
    path = _damage(stream, [_event(n, reading=9) if n == 3 else _event(n) for n in range(5)])
    with pytest.raises(TerminalError, match="the values of 2013-01-01 differ from those committed") as error:
        reload(stream.settings, stream.contract, FIRST)
    assert path in str(error.value)
    assert _query(stream, rows) == before
    assert _query(stream, "select count(*) from raw.quarantine where stream = '{stream}'") == [(0,)]


@pytest.mark.parametrize(
    ("start_offset", "next_offset", "error"),
    [
        (0, 3, psycopg.errors.UniqueViolation),
        (2, 8, psycopg.errors.ForeignKeyViolation),
        (6, 8, psycopg.errors.ForeignKeyViolation),
        (5, 5, psycopg.errors.CheckViolation),
    ],
)
def test_the_ledger_rejects_overlaps_and_gaps(
    make_stream: Callable[..., Stream], start_offset: int, next_offset: int, error: type[psycopg.Error]
) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(n) for n in range(5)])
    stream.land()
    load(stream.settings, stream.contract)
    with connect(stream.settings, "loader") as loader, pytest.raises(error):
        loader.execute(
            "insert into ops.loads (stream, topic_id, partition, start_offset, next_offset, rows, quarantined)"
            " select stream, topic_id, partition, %s, %s, 1, 0 from ops.loads where stream = %s and next_offset = 5",
            (start_offset, next_offset, stream.name),
        )


def test_offsets_that_are_not_loaded_in_time_are_a_disagreement(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(1)])
    assert not stream.next_offsets()
    stream.land()
    result = reconcile(stream.settings, {stream.name: stream.contract}, patience=0.1)
    assert "the warehouse has offsets up to 0, Kafka up to 1" in result.text()


DATES = (
    "select event_date::text, rows, quarantined, late, after_close, version from ops.dates"
    " where stream = '{stream}' order by 1"
)
DRIFT = "select event_date::text, field, rows from ops.drift where stream = '{stream}' order by 1, 2"
FIRST, THIRD = date(2013, 1, 1), date(2013, 1, 3)


def test_a_load_updates_the_statistics_of_each_date(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    third = {"read_at": "2013-01-03T08:00:00Z"}
    stream.send([_event(n) for n in range(3)])
    stream.send([_event(3, **third), b"nope"], THIRD_MS)
    stream.send([_event(4)])
    stream.land()
    load(stream.settings, stream.contract)
    assert _query(stream, DATES) == [("2013-01-01", 4, 0, 1, 1, 1), ("2013-01-03", 1, 1, 0, 0, 1)]
    assert _query(
        stream, "select next_offset, watermark::text from ops.loads where stream = '{stream}' and next_offset > 0"
    ) == [(6, "2013-01-03 08:00:00+00")]

    # The next load continues with the ledger's watermark.
    stream.send([_event(5)])
    stream.land()
    load(stream.settings, stream.contract)
    expected = [("2013-01-01", 5, 0, 2, 2, 2), ("2013-01-03", 1, 1, 0, 0, 1)]
    assert _query(stream, DATES) == expected

    # A reload that changes no rows keeps all statistics, and adds none.
    for day in (FIRST, THIRD, date(2013, 1, 2)):
        assert not reload(stream.settings, stream.contract, day).changed
    assert _query(stream, DATES) == expected

    with connect(stream.settings, "loader") as loader:
        loader.execute(f"delete from raw.{stream.contract.table} where reading = 1".encode())
    assert reload(stream.settings, stream.contract, FIRST).changed
    assert _query(stream, DATES) == [("2013-01-01", 5, 0, 2, 2, 3), expected[1]]
    _assert_agrees(stream)


def test_fields_that_are_not_in_the_contract_are_counted_and_not_loaded(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(0), _event(1, gate="A"), _event(2, gate=None, **{"naïve \0": {}}), b'{"gate": 1}'])
    stream.send([_event(3, gate=1, read_at="2013-01-03T08:00:00Z")], THIRD_MS)
    stream.land()
    report = load(stream.settings, stream.contract)
    first = [("2013-01-01", "gate", 2), ("2013-01-01", r"naïve \x00", 1)]
    assert _query(stream, DRIFT) == [*first, ("2013-01-03", "gate", 1)]
    assert report.drift == {(date.fromisoformat(str(day)), field): rows for day, field, rows in _query(stream, DRIFT)}

    stream.send([_event(4, gate="B")])
    stream.land()
    reload(stream.settings, stream.contract, FIRST)
    assert _query(stream, DRIFT) == [*first, ("2013-01-03", "gate", 1)]
    load(stream.settings, stream.contract)
    reload(stream.settings, stream.contract, FIRST)
    assert _query(stream, DRIFT) == [("2013-01-01", "gate", 3), first[1], ("2013-01-03", "gate", 1)]


def test_a_new_column_is_null_until_its_dates_are_reloaded(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(0, gate="A"), _event(1)])
    stream.send([_event(2, gate="B", read_at="2013-01-03T08:00:00Z")], THIRD_MS)
    stream.land()
    load(stream.settings, stream.contract)
    gate = Column(name="gate", type="string", description="Declared later.")
    wider = stream.contract.model_copy(update={"columns": (*stream.contract.columns, gate)})
    schema.provision(stream.settings, {stream.name: wider})
    gates = "select event_id, gate from {raw} order by 1"
    assert _query(stream, gates) == [("e0", None), ("e1", None), ("e2", None)]

    assert reload(stream.settings, wider, FIRST).changed
    assert _query(stream, gates) == [("e0", "A"), ("e1", None), ("e2", None)]
    assert _query(stream, DRIFT) == [("2013-01-03", "gate", 1)]
    assert _query(stream, DATES) == [("2013-01-01", 2, 0, 0, 0, 2), ("2013-01-03", 1, 0, 0, 0, 1)]


def test_records_that_a_reload_releases_from_quarantine_are_logged(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(0), _event(1, reading=-1), b"nope"])
    stream.land()
    load(stream.settings, stream.contract)
    columns = (*stream.contract.columns[:-1], stream.contract.columns[-1].model_copy(update={"minimum": None}))
    wider = stream.contract.model_copy(update={"columns": columns})

    report = reload(stream.settings, wider, FIRST)

    assert (report.rows, report.quarantined, report.changed) == (2, 1, True)
    assert _query(stream, DATES) == [("2013-01-01", 2, 1, 0, 0, 2)]
    assert _query(
        stream, "select \"offset\", reason, action, done_by from ops.quarantine_log where stream = '{stream}'"
    ) == [(1, "reading: -1 is below the minimum 0", "reloaded", "reload")]
    _assert_agrees(stream)


def test_a_reload_marks_its_date_as_stale_only_when_asked_to(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([_event(0)])
    stream.land()
    load(stream.settings, stream.contract)
    marks = "select count(*) from ops.stale_dates where stream = '{stream}'"
    reload(stream.settings, stream.contract, FIRST, mark_stale="changed")
    reload(stream.settings, stream.contract, FIRST, mark_stale="never")
    assert _query(stream, marks) == [(1,)]
    reload(stream.settings, stream.contract, FIRST)
    mark_stale(stream.settings, stream.contract, [FIRST, THIRD])
    assert _query(stream, marks) == [(4,)]


def test_loads_do_not_wait_for_reloads_and_both_stay_exactly_once(
    make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream(partitions=2)
    for partition in (0, 1):
        stream.send([_event(n, gate=1) for n in range(50)], partition=partition)
    stream.land()
    load(stream.settings, stream.contract)
    stream.send([_event(n, gate=1) for n in range(50, 60)])
    stream.land()

    loads: list[LoadReport] = []
    fingerprints = Reload.fingerprints

    def fingerprints_after_a_load(date_reload: Reload) -> object:
        # The reload has deleted and rewritten the date's rows, and has not committed yet.
        loads.append(load(stream.settings, stream.contract))
        return fingerprints(date_reload)

    monkeypatch.setattr(Reload, "fingerprints", fingerprints_after_a_load)
    assert not reload(stream.settings, stream.contract, FIRST).changed
    monkeypatch.undo()

    assert [report.rows for report in loads] == [10]
    assert _query(stream, DATES) == [("2013-01-01", 110, 0, 0, 0, 2)]
    assert _query(stream, DRIFT) == [("2013-01-01", "gate", 110)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: reload(stream.settings, stream.contract, FIRST), range(4)))
    assert _query(stream, DATES) == [("2013-01-01", 110, 0, 0, 0, 2)]
    assert _query(stream, DRIFT) == [("2013-01-01", "gate", 110)]
    _assert_agrees(stream)


@pytest.mark.essential
def test_a_record_that_postgres_rejects_costs_itself_alone(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    table = f"raw.{stream.contract.table}"
    values = [_event(n) for n in range(300)]
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f"alter table {table} add constraint odd check (reading not in (17, 203))".encode())
        postgres.execute(f"create unique index on {table} (event_id)".encode())
    values[99] = _event(98)
    stream.send(values)
    stream.send([_event(n) for n in range(300, 320)], partition=1)
    stream.land()

    def rejected() -> list[tuple[object, ...]]:
        return _query(
            stream, "select \"offset\", reason, value from raw.quarantine where stream = '{stream}' order by 1"
        )

    report = load(stream.settings, stream.contract)
    expected = [
        (17, "rejected by Postgres: CheckViolation", values[17]),
        (99, "rejected by Postgres: UniqueViolation", values[99]),
        (203, "rejected by Postgres: CheckViolation", values[203]),
    ]
    assert rejected() == expected
    assert (report.rows, report.quarantined) == (317, 3)
    _assert_agrees(stream)
    assert not reload(stream.settings, stream.contract, date(2013, 1, 1)).changed
    contracts = {stream.name: stream.contract}
    assert [done.moved for done in replay(stream.settings, contracts, Selection(), "the test")] == [0]
    assert rejected() == expected

    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f"alter table {table} drop constraint odd".encode())
    assert [done.moved for done in replay(stream.settings, contracts, Selection(), "the test")] == [2]
    assert [row[0] for row in rejected()] == [99]
    _assert_agrees(stream)


def test_a_table_that_fits_no_row_stops_the_load_and_quarantines_nothing(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f"alter table raw.{stream.contract.table} add column extra text not null".encode())
    stream.send([_event(n) for n in range(20)])
    stream.land()
    with pytest.raises(TerminalError, match="extra"):
        load(stream.settings, stream.contract)
    assert _query(stream, "select count(*) from raw.quarantine where stream = '{stream}'") == [(0,)]
