"""The nodes of the data flow, and the sentence and the status line above them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.flow import Loads, Node, event_time_behind, flow, next_load, pace, status, waiting_records
from dashboard.poller import Snapshot
from dashboard.queries import DagRun, Marts, Quarantine, Stream
from sluice.contracts import load_contracts
from sluice.settings import ROOT

NOW = datetime(2026, 1, 1, 12, 0, 17, tzinfo=UTC)
ARRIVING = datetime(2013, 1, 31, 7, tzinfo=UTC)
UP = dict.fromkeys(("Postgres", "Live view", "Kafka", "MinIO", "Sink", "Airflow"))
CONTRACTS = {"flights.departed": load_contracts(ROOT / "contracts")["flights.departed"]}
SNAPSHOT = Snapshot(
    kafka={"flights.departed": 100, "weather.observed": 20},
    lake={"flights.departed": 90, "weather.observed": 20},
    live={"flights.departed": 99, "weather.observed": 0},
    per_second=47.25,
    newest=ARRIVING,
    speed=600.0,
    contracts=CONTRACTS,
    written_at=NOW - timedelta(seconds=4),
    read_at=NOW - timedelta(seconds=2),
)
MARTS = Marts(6, NOW - timedelta(minutes=2), ARRIVING - timedelta(hours=7))
STREAMS = [
    Stream("flights.departed", 80, 76, 4, 3, NOW - timedelta(minutes=1), ARRIVING, 2, NOW - timedelta(minutes=3)),
    Stream("weather.observed", 20, 20, 0, 0, NOW - timedelta(minutes=3), ARRIVING, 0),
]
QUARANTINE = Quarantine(3, NOW - timedelta(minutes=9))
LINKS = {"airflow": "http://airflow", "lake": "http://lake"}

BEHIND = timedelta(hours=7, minutes=5)

IDLE = Loads({})


def run(dag_id: str, state: str = "success") -> DagRun:
    return DagRun(dag_id, "r", state, "scheduled", NOW, NOW)


def nodes(snapshot: Snapshot = SNAPSHOT, loads: Loads = IDLE, **servers: str | None) -> dict[str, Node]:
    found = flow(snapshot, UP | servers, STREAMS, QUARANTINE, MARTS, loads, LINKS, BEHIND, NOW)
    return {node.id: node for node in found}


def first_nodes(snapshot: Snapshot) -> dict[str, Node]:
    """Returns the nodes of a warehouse without rows."""
    found = flow(snapshot, {}, [], Quarantine(0, None), Marts(0, None, None), IDLE, LINKS, None, NOW)
    return {node.id: node for node in found}


def status_of(
    snapshot: Snapshot = SNAPSHOT, loads: Loads = IDLE, alerts: int = 0, waiting: int = 0, **servers: str | None
) -> tuple[tuple[str, ...], str]:
    found = status(snapshot, UP | servers, loads, alerts, BEHIND, waiting, NOW)
    return found.problems, found.progress


def test_every_node_has_its_count() -> None:
    counts = {id_: node.count for id_, node in nodes().items()}
    assert counts == {
        "producer": "47.2",
        "kafka": "120",
        "sink": "10",
        "lake": "110",
        "load": "10",
        "raw": "96",
        "transform": "2",
        "marts": "6",
        "live": "99",
        "quarantine": "4",
    }


def test_every_node_says_how_far_it_is_behind_and_how_old_its_data_is() -> None:
    assert {id_: (node.lag, node.age) for id_, node in nodes().items()} == {
        "producer": ("first step", "newest event 2013-01-31 07:00"),
        "kafka": ("sent directly", "last record 2013-01-31 07:00"),
        "sink": ("10 behind", "last write 4 s ago"),
        "lake": ("10 behind", "last write 4 s ago"),
        "load": ("next in 1 min 43 s", "last 1 min ago"),
        "raw": ("10 behind", "changed 1 min ago"),
        "transform": ("waiting 3 min", "last 2 min ago"),
        "marts": ("7 h behind", "up to 2013-01-31 00:00"),
        "live": ("1 behind", "last read 2 s ago"),
        "quarantine": ("3 to decide", "last 9 min ago"),
    }
    written = nodes(replace(SNAPSHOT, lake=SNAPSHOT.kafka))
    assert (written["lake"].lag, written["lake"].age) == ("up to date", "last record 2013-01-31 07:00")


def test_a_platform_that_has_just_begun_says_so_in_words_and_invents_no_figure() -> None:
    assert {id_: (node.lag, node.age) for id_, node in first_nodes(Snapshot()).items()} == {
        "producer": ("first step", "age not known"),
        "kafka": ("sent directly", "age not known"),
        "sink": ("lag not known", "no write seen yet"),
        "lake": ("lag not known", "no write seen yet"),
        "load": ("lag not known", "none yet"),
        "raw": ("lag not known", "no rows yet"),
        "transform": ("up to date", "none yet"),
        "marts": ("lag not known", "nothing built yet"),
        "live": ("lag not known", "no read seen yet"),
        "quarantine": ("0 to decide", "none yet"),
    }
    begun = first_nodes(Snapshot(kafka={"a.b": 0}, lake={"a.b": 0}, live={}, contracts={}))
    assert {begun[id_].age for id_ in ("producer", "kafka", "lake")} == {"no records yet"}
    assert (begun["load"].lag, begun["sink"].lag) == ("none is due", "up to date")


def test_every_node_has_a_state_and_a_link_and_texts_that_fit_a_narrow_column() -> None:
    for node in [*nodes().values(), *first_nodes(Snapshot()).values()]:
        assert node.status and node.href, node.id
        # A node has three lines for both, of about 18 characters; a phone one line for both.
        assert len(node.lag) <= 18, node.id
        assert len(node.lag) + len(node.age) <= 44, node.id


@pytest.mark.parametrize(
    ("records", "waiting", "lag", "state"),
    [
        (4, 3, "3 to decide", ("warn", "to look at")),
        (4, 0, "0 to decide", ("good", "all discarded")),
        (0, 0, "0 to decide", ("good", "empty")),
        (99_000, None, "too many to count", ("warn", "to look at")),
    ],
)
def test_a_quarantine_is_to_look_at_while_a_record_waits_for_a_decision(
    records: int, waiting: int | None, lag: str, state: tuple[str, str]
) -> None:
    streams = [replace(STREAMS[0], quarantined=records)]
    found = flow(SNAPSHOT, UP, streams, Quarantine(waiting, None), MARTS, IDLE, LINKS, BEHIND, NOW)[-1]
    assert (found.lag, found.state, found.status) == (lag, *state)
    assert found.age == ("age not known" if waiting is None else "none yet")


def test_the_live_view_is_compared_with_the_streams_that_it_reads() -> None:
    assert nodes()["live"].lag == "1 behind"


def test_ages_links_and_motion() -> None:
    found = nodes()
    assert (found["load"].age, found["load"].lag) == ("last 1 min ago", "next in 1 min 43 s")
    assert found["transform"].href == "http://airflow/dags/transform"
    assert found["quarantine"].href == "/quarantine"
    assert found["kafka"].moving
    assert not found["transform"].moving
    idle = nodes(replace(SNAPSHOT, per_second=0.0, lake=SNAPSHOT.kafka))
    assert not any(node.moving for node in idle.values())
    assert idle["producer"].status == "no new events"
    running = nodes(loads=Loads({"transform": run("transform", "running")}))
    assert (running["transform"].state, running["transform"].moving, running["marts"].moving) == ("busy", True, True)


def test_a_server_that_is_down_and_a_run_that_failed_are_bad() -> None:
    found = nodes(Kafka="no response", Sink="no response")
    assert {id_ for id_, node in found.items() if node.state == "bad"} == {"kafka", "sink"}
    failed = nodes(loads=Loads({"transform": run("transform", "failed")}))
    assert (failed["transform"].state, failed["transform"].status) == ("bad", "last run failed")
    assert nodes(loads=Loads({}, "no connection"))["load"].status == "Airflow is down"


def test_what_is_not_known_is_a_dash_and_not_zero() -> None:
    found = nodes(Snapshot())
    assert {found[id_].count for id_ in ("producer", "kafka", "sink", "lake", "load", "live")} == {"–"}


def test_the_status_line_of_a_healthy_platform() -> None:
    assert status_of() == ((), "Batch is 7 h of event time behind; next load in 1 min 43 s.")


def test_the_status_line_names_each_problem() -> None:
    problems, _ = status_of(
        replace(SNAPSHOT, invalid_contracts=("a.yaml: line 1",)),
        Loads({"transform": run("transform", "failed"), "monitor": run("monitor")}),
        alerts=2,
        Kafka="no response",
    )
    assert problems == (
        "Kafka is down",
        "1 contract is not valid",
        "the latest run of transform failed",
        "2 alerts are open",
    )


@pytest.mark.parametrize(
    ("dag_id", "coming"), [("transform", "the marts are being rebuilt"), ("load_flights_departed", "a load is running")]
)
def test_the_status_line_says_what_is_running(dag_id: str, coming: str) -> None:
    assert status_of(loads=Loads({dag_id: run(dag_id, "running")}))[1].endswith(f"; {coming}.")


@pytest.mark.parametrize(("waiting", "sentence"), [(0, "Batch is up to date"), (1234, "Batch is 1,234 records behind")])
def test_a_batch_with_the_newest_event_is_up_to_date_once_it_has_all_records(waiting: int, sentence: str) -> None:
    found = status(SNAPSHOT, UP, Loads({}), 0, None, waiting, NOW)
    assert found.progress.startswith(f"{sentence};")


def test_how_far_the_batch_is_behind() -> None:
    assert event_time_behind(SNAPSHOT, MARTS) == timedelta(hours=7)
    assert event_time_behind(SNAPSHOT, replace(MARTS, event_time=ARRIVING)) is None
    assert event_time_behind(Snapshot(), MARTS) is None
    assert event_time_behind(SNAPSHOT, replace(MARTS, event_time="infinity")) is None
    assert waiting_records(SNAPSHOT, STREAMS) == 20


@pytest.mark.parametrize(
    ("per_second", "speed", "end"),
    [
        (None, None, ""),
        (0.0, 600.0, ", no new ones at the moment"),
        (47.2, 583.0, ", replayed at about 600 times real speed"),
        (47.2, 1.0, ", arriving at 47.2 events per second"),
        (47.2, -5.0, ", arriving at 47.2 events per second"),
    ],
)
def test_the_sentence_ends_with_the_pace(per_second: float | None, speed: float | None, end: str) -> None:
    assert pace(replace(SNAPSHOT, per_second=per_second, speed=speed)) == end


def test_without_contracts_no_load_is_due() -> None:
    assert next_load({}, NOW) is None
    assert next_load(None, NOW) is None
