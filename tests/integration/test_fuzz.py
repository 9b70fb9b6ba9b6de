"""Odd records, from bytes on the topic to the marts: each costs itself at most, and nothing stops.

The streams are those that the platform ships, and others that have what those lack of the contract language.
"""

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from kafka import KafkaProducer

from cli.model_files import staging_model
from cli.new_files import write_files
from cli.new_mart import mart_files
from producers.events import Event
from producers.flights.timeline import Timeline
from sluice.contracts import Column, Contract, load_contracts, validation
from sluice.contracts.paths import first_value
from sluice.contracts.validation import validate_event
from sluice.contracts.values import read_value
from sluice.kafka import topics
from sluice.load import load, reload
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.transform import audit, transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.fixtures.odd_contracts import CONTRACTS
from tests.fixtures.odd_records import OddRecord, odd_records
from tests.fixtures.random_events import EPOCH, date_of, random_events
from tests.fixtures.servers import Stream, new_environment_file, running_servers

FIRST = date(2013, 1, 1)
RECORDS = 400
"""Per stream and round."""
HUGE_EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]{5,}")
"""Of a number that a document may have, and `jsonb` does not hold."""
DAY = timedelta(days=1) // timedelta(microseconds=1)


class Place(NamedTuple):
    """Where a record is in its topic; staging models compare places."""

    partition: int
    offset: int


@dataclass
class Sent:
    """What was sent to a stream, and what should become of it."""

    stream: Stream
    events: Iterator[Event]
    before: tuple[int, int] = (0, 0)
    """Rows and quarantined records that the stream has from elsewhere."""
    records: dict[Place, OddRecord] = field(default_factory=dict)
    valid: dict[Place, validation.Event] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        return self.stream.contract

    def add(self, place: Place, record: OddRecord) -> None:
        timestamp = EPOCH + timedelta(milliseconds=record.timestamp)
        self.records[place] = record
        event, _ = validate_event(self.contract, record.value, timestamp, record.key)
        if event is not None:
            self.valid[place] = event

    def day(self, place: Place) -> date:
        """Returns the event date of a valid record."""
        contract, record = self.contract, self.records[place]
        if contract.happens_at_record or self.valid[place].is_tombstone:
            return date_of(record.timestamp * 1_000)
        return date_of(self.valid[place].values[contract.event_time])

    def events_by_date(self) -> dict[date, int]:
        """Returns how many events each date has, once resent, corrected and deleted ones are left out."""
        kept: dict[tuple[object, ...], Place | None] = {}
        for place, event in sorted(self.valid.items()):
            columns = [column for column in self.contract.columns if column.name in self.contract.id_columns]
            # Exact numbers are the same however many zeros they end with.
            identity = tuple(as_python(column, event.values[column.name]) for column in columns) or place
            if event.is_tombstone:
                kept[identity] = None
            elif self.contract.keep == "last" or kept.get(identity) is None:
                kept[identity] = place
        return dict(Counter(self.day(place) for place in kept.values() if place is not None))


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> None:
    """Lets the test take as long as its option says, and as any other test for the rest."""
    seconds = request.config.getoption("--fuzz-seconds") + int(request.config.getini("timeout"))
    request.node.add_marker(pytest.mark.timeout(seconds))


def test_no_record_stops_a_stream(
    tmp_path: Path, say: Callable[[str], None], seed: int, request: pytest.FixtureRequest
) -> None:
    # Servers of its own: other tests load the same streams, and would load these records, too.
    environment_file = new_environment_file(tmp_path)
    with running_servers(environment_file) as settings:
        _send_odd_records(settings, environment_file, tmp_path, say, seed, request)


def _send_odd_records(
    servers: Settings,
    environment_file: Path,
    tmp_path: Path,
    say: Callable[[str], None],
    seed: int,
    request: pytest.FixtureRequest,
) -> None:
    settings = _project(servers.model_copy(update={"warehouse": f"fuzz_{seed}", "home": tmp_path}), tmp_path)
    contracts = load_contracts(settings.contracts)
    contracts.require_all()
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    dbt = Dbt(settings, lambda line: None)
    random = Random(seed)
    streams = [
        Sent(Stream(settings, contract, environment_file), _events(random, contract, contracts))
        for contract in contracts.values()
    ]
    rounds = 0
    sink = streams[0].stream.start_sink()
    try:
        for sent in streams:
            sent.stream.wait_for_lake(sink)
            load(settings, sent.contract)
            sent.before = _counts(sent.stream)
        ends = time.monotonic() + request.config.getoption("--fuzz-seconds")
        while rounds == 0 or time.monotonic() < ends:
            for sent in streams:
                _send(settings, sent, list(odd_records(random, sent.contract, islice(sent.events, RECORDS))))
            for sent in streams:
                sent.stream.wait_for_lake(sink)
                load(settings, sent.contract)
                _leave_out_rejected(sent)
                rows, quarantined = (now - then for now, then in zip(_counts(sent.stream), sent.before, strict=True))
                valid = len(sent.valid)
                assert (rows, quarantined) == (valid, len(sent.records) - valid), sent.contract.stream
            transform(settings, contracts, dbt=dbt, run=f"round {rounds}", log_line=dbt.log_line)
            _assert_marts(streams)
            rounds += 1
        streams[0].stream.stop_sink(sink)
    finally:
        for sent in streams:
            sent.stream.close()

    for sent in streams:
        _assert_values(sent)
    # Everything else that reads these records copes with them as well.
    day = datetime.fromtimestamp(0, UTC).date()
    for sent in streams:
        assert not reload(settings, sent.contract, day).changed
        assert not reload(settings, sent.contract, FIRST).changed
    assert sum(result.moved for result in replay(settings, contracts, Selection(), "the test")) == 0
    transform(settings, contracts, dbt=dbt, run="after", log_line=dbt.log_line)
    _assert_marts(streams)
    audit(settings, contracts, dbt=dbt)
    reconciliation = reconcile(settings, contracts, full=True)
    assert reconciliation.agrees, reconciliation.text()
    records, valid = sum(len(sent.records) for sent in streams), sum(len(sent.valid) for sent in streams)
    say(f"{rounds} rounds, {records:,} records, {valid:,} of them valid")


def _project(servers: Settings, folder: Path) -> Settings:
    """Returns the settings of a project with further contracts, each with a staging model and a mart."""
    settings = servers.model_copy(update={"contracts": folder / "contracts", "dbt": folder / "dbt"})
    shutil.copytree(ROOT / "contracts", settings.contracts)
    shutil.copytree(ROOT / "dbt", settings.dbt, ignore=shutil.ignore_patterns("target", "logs", "generated"))
    for stream, text in CONTRACTS.items():
        (settings.contracts / f"{stream}.yaml").write_text(text)
    contracts = load_contracts(settings.contracts)
    for stream in CONTRACTS:
        staging = settings.dbt / "models" / "staging"
        write_files({staging / name: text.encode() for name, text in staging_model(contracts[stream]).items()})
        write_files(mart_files(settings, _mart(contracts[stream]), contracts[stream], plain=False))
    return settings


def _mart(contract: Contract) -> str:
    return f"agg_{contract.table}"


def _events(random: Random, contract: Contract, contracts: dict[str, Contract]) -> Iterator[Event]:
    """Yields a stream's real events, day by day, and after the year again; made-up ones of a stream that has none."""
    if contract.stream in CONTRACTS:
        yield from random_events(random, contract)
    for number in count():
        day = FIRST + timedelta(days=number % 365)
        for batch in Timeline(contracts, day, day, [contract.stream]).batches():
            yield from batch


def _send(settings: Settings, sent: Sent, records: list[OddRecord]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=20)
    try:
        futures = [
            producer.send(
                sent.contract.topic_name,
                value=record.value,
                key=record.key,
                timestamp_ms=record.timestamp,
                headers=record.headers,
            )
            for record in records
        ]
        producer.flush()
        for record, future in zip(records, futures, strict=True):
            found = future.get(timeout=60)
            sent.add(Place(found.partition, found.offset), record)
    finally:
        producer.close()


def _counts(stream: Stream) -> tuple[int, int]:
    """Returns the number of the stream's rows and of its records in quarantine."""
    (row,) = _query(
        stream,
        f"select (select count(*) from raw.{stream.contract.table}),"
        f" (select count(*) from raw.quarantine where stream = '{stream.name}')",
    )
    return row


def _leave_out_rejected(sent: Sent) -> None:
    """Asserts that Postgres has rejected no valid event but those with numbers beyond its own limits."""
    rejected = _query(
        sent.stream,
        'select partition, "offset" from raw.quarantine'
        f" where stream = '{sent.stream.name}' and reason like 'rejected by Postgres%'",
    )
    for place in map(Place._make, rejected):
        assert HUGE_EXPONENT.search(sent.records[place].value or b""), (sent.contract.stream, sent.records[place])
        sent.valid.pop(place, None)


def _query(stream: Stream, statement: str) -> list[Any]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(statement.encode()).fetchall()


def _assert_marts(streams: list[Sent]) -> None:
    """Asserts that the marts of the further streams have the events that count, each on its date."""
    for sent in streams:
        if sent.contract.stream in CONTRACTS:
            rows = _query(sent.stream, f"select event_date, event_count from marts.{_mart(sent.contract)}")
            assert dict(rows) == sent.events_by_date(), sent.contract.stream


def _assert_values(sent: Sent) -> None:
    """Asserts that the raw table has the values of each valid record."""
    columns = sent.contract.columns
    shown = ", ".join(
        f"(extract(epoch from {name}) * 1000000)::bigint"
        if column.type == "timestamp"
        else f"{name} - date '1970-01-01'"
        if column.type == "date"
        else f"{name}::text"
        if column.type == "json"
        else name
        for column, name in ((column, f'"{column.name}"') for column in columns)
    )
    rows = _query(sent.stream, f"select _partition, _offset, {shown} from raw.{sent.contract.table}")
    found = {Place(*row[:2]): row[2:] for row in rows}
    for place, event in sent.valid.items():
        fields = {} if event.is_tombstone else validation.parse(sent.records[place].value, exact=True)
        for column, value in zip(columns, found[place], strict=True):
            expected = event.values[column.name]
            if column.data_type.item and expected is not None:
                # What the event has, not what the load has made of it.
                expected = first_value(fields, column.paths)
            if column.type == "json" and value is not None:
                value = _numbers(value)
            assert value == as_python(column, expected), (sent.contract.stream, place, column.name)


def as_python(column: Column, value: Any) -> Any:
    """Returns a value of ``read_value``, or the list of an event, as Postgres gives it back."""
    kind = column.data_type
    if value is None:
        return None
    if kind.item:
        item = Column(name=column.name, type=str(kind.item), description="Item.")
        values = (None if child is None else read_value(item, child, None) for child in value)
        return [_time_in_array(item, as_python(item, child)) for child in values]
    match kind.kind:
        case "decimal":
            return Decimal(value)
        case "time":
            return clock.fromisoformat(value)
        case "uuid":
            return UUID(value)
        case "json":
            return _numbers(value)
    return value


def _time_in_array(item: Column, value: Any) -> Any:
    if value is None or item.type not in ("timestamp", "date"):
        return value
    return EPOCH + timedelta(microseconds=value) if item.type == "timestamp" else date_of(value * DAY)


def _numbers(document: str) -> Any:
    """Returns a JSON document with exact numbers."""
    return json.loads(document, parse_float=Decimal, parse_int=Decimal)
