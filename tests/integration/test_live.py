"""The live view on real servers: its figures are correct whatever is sent, and however often it is killed."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import LiteralString

import pandas as pd
import psycopg
import pytest
from kafka import KafkaProducer
from psycopg import sql

from flights.live_view import schema as live_view
from flights.live_view.flight_state import DEPARTED, STREAMS
from flights.live_view.view import FlightsView
from infra.servers import probes
from producers.fault_injection import Faults, inject_faults
from producers.flights.timeline import Timeline
from sluice.contracts import load_contracts
from sluice.kafka import topics
from sluice.live.store import Store
from sluice.live.view import Record
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect, schema
from tests.fixtures import truth
from tests.fixtures.events import send_events
from tests.fixtures.waiting import wait

FIRST, LAST = date(2013, 1, 1), date(2013, 1, 4)
FAULTS = Faults(late=0.1, late_hours=48, duplicates=0.1, corrupt=0.02, invalid=0.02, seed=17)


class Live:
    """The live view's process, with a database of its own."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self._environment = {
            "SLUICE_ENV_FILE": str(file),
            "SLUICE_WAREHOUSE": settings.warehouse,
            "SLUICE_CONTRACTS": str(settings.contracts),
            # Two live views may overlap.
            "SLUICE_LIVE_PORT": "0",
            "PATH": "/usr/bin",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def use_contracts(self, folder: Path) -> None:
        self._environment["SLUICE_CONTRACTS"] = str(folder)

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "flights.live_view"], env=self._environment, cwd=ROOT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def query(self, statement: str) -> pd.DataFrame:
        with connect(self.settings, "reader") as connection, connection.cursor() as cursor:
            cursor.execute(statement.encode())
            return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])

    def read(self) -> int:
        """Returns how many offsets the state covers."""
        return int(self.query("select coalesce(sum(next_offset), 0) from live.partitions").iloc[0, 0])

    def wait(self, description: str, until: Callable[[], bool]) -> None:
        wait(description, until, every=0.05, detail=lambda: self.query("select * from live.partitions"))

    def wait_until_read(self) -> None:
        """Waits until the state covers everything that Kafka has."""
        self.wait("everything read", lambda: self.read() == _end(self.settings))


@pytest.fixture(scope="module")
def empty_topics(servers: Settings) -> None:
    """Topics of flights without records: other tests send flights of other dates."""
    contracts = load_contracts(ROOT / "contracts")
    with topics.admin(servers) as admin:
        admin.delete_topics([stream for stream in STREAMS if stream in admin.list_topics()])
    topics.provision(servers, contracts)


@pytest.fixture
def live(
    empty_topics: None, servers: Settings, environment_file: Path, request: pytest.FixtureRequest
) -> Iterator[Live]:
    name = f"live_{abs(hash(request.node.nodeid)) % 10**9}"
    settings = servers.model_copy(update={"warehouse": name, "contracts": ROOT / "contracts"})
    contracts = load_contracts(settings.contracts)
    topics.provision(settings, contracts)
    schema.provision(settings, contracts)
    live_view.provision(settings)
    live = Live(settings, environment_file)
    yield live
    live.kill()


@pytest.fixture
def some_flights(live: Live) -> None:
    """Flights in Kafka, whichever tests ran before."""
    contracts = load_contracts(live.settings.contracts)
    timeline = Timeline(contracts, FIRST, FIRST)
    send_events(live.settings, (event for batch in timeline.batches() for event in batch if event.stream in STREAMS))


def _end(settings: Settings) -> int:
    return sum(partition.end for partition in topics.kafka_ranges(settings, {stream: stream for stream in STREAMS}))


def test_it_is_correct_after_three_kills_in_a_stream_with_faults(live: Live) -> None:
    contracts = load_contracts(live.settings.contracts)
    events = [
        event
        for batch in inject_faults(Timeline(contracts, FIRST, LAST).batches(), FAULTS, contracts)
        for event in batch
        if event.stream in STREAMS
    ]
    parts = [events[start::4] for start in range(4)]
    rng = random.Random(3)
    for part in parts:
        before = live.read()
        live.start()
        send_events(live.settings, part)
        if part is not parts[-1]:
            # Killed somewhere within the records that have just arrived.
            target = before + rng.randrange(1, len(part) // 2)
            live.wait(f"{target} read", partial(lambda target: live.read() >= target, target))
            live.kill()
    live.wait_until_read()
    assert _end(live.settings) > len(events) - 1
    expected = truth.airports_live(str(FIRST), str(LAST))
    truth.assert_equal(live.query("select * from live.airport_hours"), expected, ["origin", "hour"])
    assert probes.live(live.settings) is None


@pytest.mark.parametrize(
    "position",
    [
        pytest.param("0", id="the start"),
        # As after Kafka was restored from an older copy.
        pytest.param("next_offset + 1000000", id="beyond Kafka's end", marks=pytest.mark.essential),
    ],
)
@pytest.mark.usefixtures("some_flights")
def test_reading_everything_again_changes_nothing(live: Live, position: LiteralString) -> None:
    live.start()
    live.wait_until_read()
    live.kill()
    before = live.query("select * from live.airport_hours order by origin, hour")
    with connect(live.settings, "postgres") as postgres:
        postgres.execute(sql.SQL("update live.partitions set next_offset = {}").format(sql.SQL(position)))
    live.start()
    live.wait_until_read()
    assert live.query("select * from live.airport_hours order by origin, hour").equals(before)


def test_it_reconnects_after_postgres_has_closed_its_connection(live: Live) -> None:
    live.start()
    live.wait_until_read()
    assert live.process is not None
    with connect(live.settings, "postgres") as postgres:
        postgres.execute("update live.heartbeat set seen_at = null")
        postgres.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sluice-live'"
        )
    live.wait("a heartbeat", lambda: probes.live(live.settings) is None)
    assert live.process.poll() is None


def test_a_record_that_postgres_rejects_costs_itself(servers: Settings) -> None:
    settings = servers.model_copy(update={"warehouse": "live_records", "contracts": ROOT / "contracts"})
    contracts = load_contracts(settings.contracts)
    schema.provision(settings, contracts)
    live_view.provision(settings)
    # A later contract: a delay may be missing, and may be larger than the view's column.
    delay = {"nullable": True, "type": "int64"}
    changed = contracts[DEPARTED].model_copy(
        update={
            "columns": [
                column.model_copy(update=delay) if column.name == "departure_delay_minutes" else column
                for column in contracts[DEPARTED].columns
            ]
        }
    )
    event = {column.name: "x" for column in changed.columns if column.type == "string"}
    event |= {"origin": "EWR", "scheduled_at": "2013-01-01T10:40:00Z", "departed_at": "2013-01-01T10:59:00Z"}
    delays = (19, None, 1 << 40, 20)
    records = [
        Record(
            DEPARTED,
            "id",
            0,
            offset,
            1_357_037_940_000,
            json.dumps(
                event
                | {
                    "flight_id": f"f{offset}",
                    "flight_number": 1,
                    "distance_miles": 1,
                    "departure_delay_minutes": minutes,
                }
            ).encode(),
        )
        for offset, minutes in enumerate(delays)
    ]
    with Store(settings) as store:
        store.apply(FlightsView(), {DEPARTED: changed}, records, {("id", 0): 4})
        assert store.next_offsets(["id"]) == {("id", 0): 4}
    with connect(settings, "reader") as connection:
        found = connection.execute("select departures, avg_delay_minutes from live.airport_hours").fetchall()
    assert found == [(3, 19.5)]


@pytest.mark.essential
@pytest.mark.parametrize(
    "statement",
    ["delete from live.flights", "truncate live.partitions", "select from ops.loads", "create table live.x (a int)"],
)
def test_its_role_can_only_write_its_own_tables(live: Live, statement: str) -> None:
    with connect(live.settings, "live") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]


def test_an_invalid_contract_stops_its_own_stream_only_until_it_is_valid_again(
    empty_topics: None, live: Live, tmp_path: Path
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    broken, other = STREAMS
    text = (contracts / f"{broken}.yaml").read_text()
    live.use_contracts(contracts)
    (contracts / f"{broken}.yaml").write_text("stream: [")
    producer = KafkaProducer(bootstrap_servers=live.settings.kafka, acks="all")
    for stream in STREAMS:
        # Invalid records change no figure; they are read like all others.
        producer.send(stream, value=b"{}", timestamp_ms=1_357_035_300_000)
    producer.close()
    live.start()
    end = sum(partition.end for partition in topics.kafka_ranges(live.settings, {other: other}))
    live.wait("the other stream read", lambda: live.read() == end)
    # The process has read the broken contract, and finds the repaired one by itself.
    (contracts / f"{broken}.yaml").write_text(text)
    live.wait_until_read()
    assert live.process is not None and live.process.poll() is None
