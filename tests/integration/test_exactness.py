"""The pipeline without Airflow: a stream with faults, built as it arrives, ends in the same marts as one without."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest

from producers.events import Event
from producers.fault_injection import CORRUPT, INVALID, LATE, Faults, inject_faults
from producers.flights.timeline import Timeline
from sluice.contracts import load_contracts
from sluice.kafka import topics
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.transform import transform
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.fixtures import truth
from tests.fixtures.events import send_events
from tests.fixtures.servers import Stream

FIRST = date(2013, 1, 1)
DAY_MS = 86_400_000
FAULTS = Faults(late=0.05, late_hours=48, duplicates=0.03, corrupt=0.005, invalid=0.005, seed=13)


@pytest.mark.parametrize(
    ("days", "step"), [(14, 3), pytest.param(365, 14, marks=[pytest.mark.thorough, pytest.mark.timeout(3600)])]
)
def test_a_stream_with_faults_that_is_built_as_it_arrives_ends_in_correct_marts(
    servers: Settings, environment_file: Path, tmp_path: Path, say: Callable[[str], None], days: int, step: int
) -> None:
    settings = servers.model_copy(
        update={"warehouse": f"exact_{days}", "home": tmp_path, "contracts": ROOT / "contracts"}
    )
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    streams = [Stream(settings, contract, environment_file) for contract in contracts.values()]
    last = FIRST + timedelta(days=days - 1)
    transforms = built = late = 0
    sent: Counter[str | None] = Counter()
    dbt = Dbt(settings, lambda line: None)

    def query(statement: str) -> pd.DataFrame:
        with connect(settings, "reader") as connection, connection.cursor() as cursor:
            cursor.execute(statement.encode())
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])

    def load_all() -> None:
        for stream in streams:
            stream.wait_for_lake()
            load(settings, stream.contract)

    started = time.monotonic()
    sink = streams[0].start_sink()
    try:
        # The topics still hold what other tests have sent.
        load_all()
        quarantined = query("select count(*) from raw.quarantine").iloc[0, 0]
        for events in _in_order_of_arrival(
            inject_faults(Timeline(contracts, FIRST, last).batches(), FAULTS, contracts), step
        ):
            sent.update(event.fault for event in events)
            late += sum(event.fault == LATE and event.stream.startswith("flights.") for event in events)
            send_events(settings, events)
            load_all()
            if transform(settings, contracts, dbt=dbt, run="exact", log_line=dbt.log_line).dates:
                transforms += 1
                built += _built(dbt, "fct_flights")
        streams[0].stop_sink(sink)
    finally:
        streams[0].close()

    seconds = time.monotonic() - started
    assert transforms > days // step
    truth.assert_marts(query, FIRST.isoformat(), last.isoformat())
    assert len(query("select from marts.fct_flights")) == len(truth.between(FIRST.isoformat(), last.isoformat()))
    assert query("select count(*) from raw.quarantine").iloc[0, 0] - quarantined == sent[CORRUPT] + sent[INVALID] > 0
    reconciliation = reconcile(settings, contracts, full=True)
    assert reconciliation.agrees, reconciliation.text()
    flights = len(query("select from marts.fct_flights"))
    say(f"{days} days, {sent.total():,} events, {transforms} transforms, {seconds:.0f} s: the marts are correct")
    say(
        f"{built:,} rows of fct_flights were built for {flights:,} flights with {late:,} late events:"
        f" {(built - flights) / late:.2f} rows rebuilt per late event"
    )


def _built(dbt: Dbt, model: str) -> int:
    """Returns the number of rows that the last transform inserted into a model."""
    results = json.loads(dbt.results.read_text())["results"]
    return sum(
        result["adapter_response"]["rows_affected"]
        for result in results
        if result["unique_id"] == f"model.sluice.{model}"
    )


def _in_order_of_arrival(batches: Iterable[list[Event]], step: int) -> Iterator[list[Event]]:
    """Yields the events of ``step`` days at a time, by the time at which they are sent."""
    events = (event for batch in batches for event in batch)
    for _, group in groupby(events, key=lambda event: event.due // (step * DAY_MS)):
        yield list(group)
