"""Odd records, from bytes on the topic to the marts: each costs itself at most, and nothing stops."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kafka import KafkaProducer

from producers.flights.timeline import Timeline
from sluice.contracts import Contract, load_contracts
from sluice.contracts.validation import validate_event
from sluice.kafka import topics
from sluice.load import load, reload
from sluice.quarantine.records import Selection
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.transform import audit, transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.fixtures.odd_records import EPOCH, OddRecord, odd_records
from tests.fixtures.servers import Stream, new_environment_file, running_servers

FIRST = date(2013, 1, 1)
RECORDS = 400
"""Per stream and round."""


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> None:
    """Lets the test take as long as its option says, and as any other test for the rest."""
    seconds = request.config.getoption("--fuzz-seconds") + int(request.config.getini("timeout"))
    request.node.add_marker(pytest.mark.timeout(seconds))


def test_no_record_stops_a_stream(tmp_path: Path, say: Callable[[str], None], request: pytest.FixtureRequest) -> None:
    # Servers of its own: other tests load the same streams, and would load these records, too.
    environment_file = new_environment_file(tmp_path)
    with running_servers(environment_file) as settings:
        _send_odd_records(settings, environment_file, tmp_path, say, request)


def _send_odd_records(
    servers: Settings,
    environment_file: Path,
    tmp_path: Path,
    say: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    seed: int = request.config.getoption("--fuzz-seed")
    say(f"seed {seed}: repeat this with --fuzz-seed {seed}")
    settings = servers.model_copy(
        update={"warehouse": f"fuzz_{seed}", "home": tmp_path, "contracts": ROOT / "contracts"}
    )
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    streams = {name: Stream(settings, contract, environment_file) for name, contract in contracts.items()}
    dbt = Dbt(settings, lambda line: None)
    random = Random(seed)
    events = {name: _events(contract, contracts) for name, contract in contracts.items()}
    sent = dict.fromkeys(contracts, 0)
    valid = dict.fromkeys(contracts, 0)
    rounds = 0
    sink = next(iter(streams.values())).start_sink()
    try:
        for stream in streams.values():
            stream.wait_for_lake(sink)
            load(settings, stream.contract)
        before = {name: _counts(stream) for name, stream in streams.items()}
        ends = time.monotonic() + request.config.getoption("--fuzz-seconds")
        while rounds == 0 or time.monotonic() < ends:
            for name, stream in streams.items():
                records = list(odd_records(random, stream.contract, (next(events[name]) for _ in range(RECORDS))))
                _send(settings, name, records)
                sent[name] += len(records)
                valid[name] += sum(_is_valid(stream.contract, record) for record in records)
            for name, stream in streams.items():
                stream.wait_for_lake(sink)
                load(settings, stream.contract)
                rows, quarantined = (now - then for now, then in zip(_counts(stream), before[name], strict=True))
                assert (rows, quarantined) == (valid[name], sent[name] - valid[name]), name
            transform(settings, contracts, dbt=dbt, run=f"round {rounds}", log_line=dbt.log_line)
            rounds += 1
        streams["flights.departed"].stop_sink(sink)
    finally:
        for stream in streams.values():
            stream.close()

    # Everything else that reads these records copes with them as well.
    day = datetime.fromtimestamp(0, UTC).date()
    for stream in streams.values():
        assert not reload(settings, stream.contract, day).changed
        assert not reload(settings, stream.contract, FIRST).changed
    assert sum(result.moved for result in replay(settings, contracts, Selection(), "the test")) == 0
    transform(settings, contracts, dbt=dbt, run="after", log_line=dbt.log_line)
    audit(settings, contracts, dbt=dbt)
    reconciliation = reconcile(settings, contracts, full=True)
    assert reconciliation.agrees, reconciliation.text()
    say(f"{rounds} rounds, {sum(sent.values()):,} records, {sum(valid.values()):,} of them valid")


def _events(contract: Contract, contracts: dict[str, Contract]) -> Iterator[dict[str, Any]]:
    """Yields a stream's real events, day by day; after the year, they are sent again."""
    for number in count():
        day = FIRST + timedelta(days=number % 365)
        for batch in Timeline(contracts, day, day).batches():
            yield from (json.loads(event.value) for event in batch if event.stream == contract.stream)


def _send(settings: Settings, stream: str, records: list[OddRecord]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=20)
    try:
        futures = [
            producer.send(
                stream, value=record.value, key=record.key, timestamp_ms=record.timestamp, headers=record.headers
            )
            for record in records
        ]
        producer.flush()
        for future in futures:
            future.get(timeout=60)
    finally:
        producer.close()


def _is_valid(contract: Contract, record: OddRecord) -> bool:
    timestamp = EPOCH + timedelta(milliseconds=record.timestamp)
    return validate_event(contract, record.value, timestamp)[0] is not None


def _counts(stream: Stream) -> tuple[int, int]:
    """Returns the number of the stream's rows and of its records in quarantine."""
    with connect(stream.settings, "reader") as reader:
        row = reader.execute(
            f"select (select count(*) from raw.{stream.contract.table}),"
            f" (select count(*) from raw.quarantine where stream = '{stream.name}')".encode()
        ).fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1]))
