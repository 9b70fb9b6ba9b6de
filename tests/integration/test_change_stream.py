"""A change stream in Debezium's envelope, from Kafka to the staging model: rows come, change, go and come back."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from sluice.kafka import topics
from sluice.load import load, reload
from sluice.reconcile import reconcile
from sluice.settings import Settings
from sluice.warehouse import connect
from tests.fixtures.change_stream import COMMITTED_MS, CONTRACT, change, key
from tests.fixtures.marts import Marts, make_staging
from tests.fixtures.servers import Stream

STREAM = "shop.customers"
DAY_MS = 86_400_000
FIRST = date(2026, 3, 1)
OLD = {number: {"id": number, "email": f"{number}@old.example"} for number in (1, 2, 3, 4)}
NEW = {number: {"id": number, "email": f"{number}@new.example"} for number in (1, 2, 3, 4)}
Record = tuple[bytes | None, bytes | None]
"""A key and a value."""


@pytest.fixture
def marts(servers: Settings, tmp_path: Path) -> Marts:
    made = make_staging(servers, tmp_path, "change_stream", {STREAM: CONTRACT})
    topics.provision(made.settings, made.raw.contracts)
    return made


class Customers:
    """The change stream: sends records, and takes what is sent through the sink, the load and the transform."""

    def __init__(self, marts: Marts, environment_file: Path) -> None:
        self.marts = marts
        self.contract = marts.raw.contracts[STREAM]
        self.stream = Stream(marts.settings, self.contract, environment_file)

    def take(self, day: int, *records: Record) -> tuple[int, int]:
        """Takes records of a date, counted from the first; returns how many are valid and how many are not."""
        producer = KafkaProducer(bootstrap_servers=self.marts.settings.kafka, acks="all")
        for of_row, value in records:
            timestamp = COMMITTED_MS + day * DAY_MS
            producer.send(self.contract.topic_name, key=of_row, value=value, timestamp_ms=timestamp)
        producer.close()
        self.stream.land()
        report = load(self.marts.settings, self.contract)
        self.marts.transform()
        return report.rows, report.quarantined

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(self.marts.settings, "transformer") as connection:
            return connection.execute(statement.encode()).fetchall()

    def staged(self) -> dict[int, tuple[str, str | None]]:
        """Returns the operation and the address of each customer."""
        rows = self.query("select customer, operation, email from staging.stg_shop_customers")
        return {number: (operation, email) for number, operation, email in rows}

    def tombstones(self, columns: str) -> list[tuple[Any, ...]]:
        return self.query(f"select {columns} from raw.shop_customers where _deleted order by _offset")


def test_rows_are_staged_as_the_source_has_them_after_changes_deletions_and_reloads(
    marts: Marts, environment_file: Path
) -> None:
    customers = Customers(marts, environment_file)
    try:
        _follow(customers)
    finally:
        customers.stream.close()


def _follow(customers: Customers) -> None:
    snapshot = [(key(number), change("r", None, OLD[number])) for number in (1, 2, 3)]
    assert customers.take(0, *snapshot, (key(4), change("c", None, OLD[4]))) == (4, 0)
    read = {number: ("r", f"{number}@old.example") for number in (1, 2, 3)} | {4: ("c", "4@old.example")}
    assert customers.staged() == read

    # The event of a deletion says so and has no row after it; the tombstone, which may be loaded later, takes it away.
    changed = {1: ("u", "1@new.example")}
    deletion = (key(2), change("d", OLD[2], None))
    assert customers.take(1, (key(1), change("u", OLD[1], NEW[1])), deletion) == (2, 0)
    assert customers.staged() == read | changed | {2: ("d", None)}
    assert customers.take(2, (key(2), None)) == (1, 0)
    without_2 = {number: row for number, row in (read | changed).items() if number != 2}
    assert customers.staged() == without_2

    # Both at once, with keys as other converters write them; 2 is created again, and 77 was never there.
    gone = [
        (b'{"id": 3}', change("d", OLD[3], None)),
        (b'{"id": 3}', None),
        (b"4", change("d", OLD[4], None)),
        (b"4", None),
        (b"77", None),
    ]
    invalid = [(b'{"number": 1}', None), (b"one", None), (key(1), change("x", None, NEW[1]))]
    assert customers.take(1, *gone, *invalid, (key(2), change("c", None, NEW[2]))) == (6, 3)
    expected = changed | {2: ("c", "2@new.example")}
    assert customers.staged() == expected
    assert customers.tombstones("customer, operation, email") == [(number, None, None) for number in (2, 3, 4, 77)]
    marts, stream = customers.marts, customers.contract
    reasons = marts.query('select reason from raw.quarantine order by "offset"')["reason"].tolist()
    assert reasons == [
        "no value, and a key without customer",
        'customer: expected int32, found "one"',
        'operation: not one of the values that the contract lists, found "x"',
    ]

    # A reload of any date, and a build of everything, find the same.
    for day in range(3):
        assert not reload(marts.settings, stream, FIRST + timedelta(days=day)).changed
        marts.transform()
        assert customers.staged() == expected
    marts.by_hand("build", "--full-refresh")
    assert customers.staged() == expected
    result = reconcile(marts.settings, {STREAM: stream}, full=True)
    assert result.agrees, result.text()
    # A tombstone is an event of its record's date.
    days = [datetime.fromtimestamp(COMMITTED_MS / 1000, UTC).date() + timedelta(days=day) for day in (2, 1, 1, 1)]
    assert customers.tombstones("_event_date") == [(day,) for day in days]
