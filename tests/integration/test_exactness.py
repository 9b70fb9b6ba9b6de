"""The flow without Airflow: a disturbed stream, built while it comes in, ends in the undisturbed truth."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
from kafka import KafkaProducer

from producers.disturbances import CORRUPT, INVALID, Disturbances, disturb
from producers.events import Event
from producers.timeline import Timeline
from sluice import topics
from sluice.contracts import load_contracts
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.e2e import truth
from tests.servers import Stream

FIRST = date(2013, 1, 1)
DAY_MS = 86_400_000
TROUBLE = Disturbances(late=0.05, late_hours=48, duplicates=0.03, corrupt=0.005, invalid=0.005, seed=13)

bad: list[Event] = []
"""What was sent that fits no contract: the topics keep it from one test to the next."""


@pytest.mark.parametrize(
    ("days", "step"), [(14, 3), pytest.param(365, 14, marks=[pytest.mark.thorough, pytest.mark.timeout(3600)])]
)
def test_a_disturbed_stream_that_is_built_as_it_comes_in_ends_in_the_truth(
    servers: Settings, environment_file: Path, tmp_path: Path, days: int, step: int
) -> None:
    settings = servers.model_copy(
        update={"warehouse": f"exact_{days}", "home": tmp_path, "contracts": ROOT / "contracts"}
    )
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    streams = [Stream(settings, contract, environment_file) for contract in contracts.values()]
    last = FIRST + timedelta(days=days - 1)
    transforms = 0
    dbt = Dbt(settings, lambda line: None)
    sink = streams[0].start_sink()
    try:
        for events in _as_they_come(disturb(Timeline(contracts, FIRST, last).batches(), TROUBLE, contracts), step):
            bad.extend(event for event in events if event.disturbance in (CORRUPT, INVALID))
            _send(settings, events)
            for stream in streams:
                stream.wait_for_lake(300)
                load(settings, stream.contract)
            transforms += bool(transform(settings, contracts, dbt=dbt, run="exact", say=dbt.say).touched)
        streams[0].stop_sink(sink)
    finally:
        streams[0].close()

    def query(statement: str) -> pd.DataFrame:
        with connect(settings, "reader") as connection, connection.cursor() as cursor:
            cursor.execute(statement.encode())
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])

    assert transforms > days // step
    truth.marts_are_true(query, FIRST.isoformat(), last.isoformat())
    assert len(query("select from marts.fct_flights")) == len(truth.between(FIRST.isoformat(), last.isoformat()))
    assert query("select count(*) from raw.quarantine").iloc[0, 0] == len(bad) > 0
    found = reconcile(settings, contracts, patience=0)
    assert found.agrees, found.text()


def _as_they_come(batches: Iterable[list[Event]], step: int) -> Iterator[list[Event]]:
    """The events of ``step`` days at a time, by the time at which they are sent."""
    events = (event for batch in batches for event in batch)
    for _, some in groupby(events, key=lambda event: event.due // (step * DAY_MS)):
        yield list(some)


def _send(settings: Settings, events: list[Event]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=20)
    try:
        for event in events:
            producer.send(event.stream, value=event.value, key=event.key, timestamp_ms=event.timestamp)
        producer.flush()
    finally:
        producer.close()
