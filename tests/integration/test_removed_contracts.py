"""A contract is removed: what the stream leaves is listed, its alerts are cleared, and one command drops it."""

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from infra.launch.provisioning import REMOVED, Provisioning
from sluice.alerts import Problem, Run, clear_alerts_of_removed, sync_alerts
from sluice.alerts.store import OVERDUE_LOAD, RECONCILE
from sluice.contracts import Contracts, load_contracts
from sluice.errors import TerminalError, TransientError
from sluice.kafka import topics
from sluice.kafka.deletion import delete_topic, topic_use
from sluice.lake.bucket import client
from sluice.lake.deletion import delete_table, table_size
from sluice.load import load
from sluice.removed.drop import drop, find_dropped
from sluice.removed.remains import all_remains, removed_streams
from sluice.settings import ROOT
from sluice.warehouse import connect, schema
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

EVENT = b'{"event_id": "%d", "sensor": "a", "read_at": "2013-01-01T10:15:00Z", "reading": %d}'
NO_CONTRACTS = Contracts()


def ours(stream: Stream) -> list[str]:
    """Returns what a launch says of the stream once its contract is removed. Other tests' streams have none either."""
    return [found.text() for found in all_remains(stream.settings, NO_CONTRACTS) if found.stream == stream.name]


def sluice(stream: Stream, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=stream.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tables(stream: Stream) -> list[str]:
    """Returns the tables that have a row of the stream, or are its own."""
    with connect(stream.settings, "reader") as reader:
        named = [
            f"{schema}.{table}"
            for schema, table in reader.execute(
                "select table_schema, table_name from information_schema.columns"
                " where table_schema in ('ops', 'raw') and column_name = 'stream' order by 1, 2"
            ).fetchall()
        ]
        found = [
            table
            for table in named
            if reader.execute(f"select from {table} where stream = %s limit 1".encode(), (stream.name,)).rowcount
        ]
        own = reader.execute("select to_regclass(%s)::text", (f"raw.{stream.contract.table}",)).fetchone()
    return [*found, *(str(name) for name in own or () if name)]


@pytest.fixture
def stream(make_stream: Callable[..., Stream]) -> Stream:
    """A stream with two rows and one quarantined record."""
    stream = make_stream(partitions=1)
    stream.send([EVENT % (1, 7), EVENT % (2, -1), EVENT % (3, 9)])
    stream.land()
    load(stream.settings, stream.contract)
    return stream


def remove(stream: Stream) -> None:
    """Deletes the contract; another one stays, because a folder without any is an error."""
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    path.with_name("test.other.yaml").write_text(text.replace(f"stream: {stream.name}", "stream: test.other"))
    path.unlink()


@pytest.mark.essential
def test_what_a_removed_contract_leaves_is_listed_and_dropped(stream: Stream) -> None:
    assert removed_streams(stream.settings, load_contracts(stream.settings.contracts)).get(stream.name) is None
    assert stream.name in removed_streams(stream.settings, NO_CONTRACTS)
    (text,) = ours(stream)
    for part in (
        f"removed contract: {stream.name} is no longer loaded; it leaves topic {stream.name} (1 partition, 3 records)",
        "its offsets in the consumer groups sluice-sink-lake-",
        f"lake table {stream.name} (",
        f"raw.{stream.contract.table} (2 rows, ",
        "1 record in quarantine",
        "statistics of 1 date",
        f"`make drop-stream NAME={stream.name}` deletes all of it",
    ):
        assert part in text

    refused = sluice(stream, "drop-stream", "--force", "--", stream.name)
    assert refused.returncode == 1
    assert f"{stream.name} has a contract. Hint: remove its file and run `make up`" in refused.stderr
    remove(stream)
    asked = sluice(stream, "drop-stream", "--", stream.name)
    assert f"confirmation required: this deletes {stream.name} for good. Hint: run `make drop-stream" in asked.stderr
    assert f"raw.{stream.contract.table} (2 rows" in asked.stdout
    assert tables(stream)
    done = sluice(stream, "drop-stream", "--force", "--", stream.name)
    assert done.returncode == 0, done.stderr
    # The audit log alone would stay; nothing is in it.
    assert tables(stream) == []
    assert topic_use(stream.settings, stream.name) is None
    assert table_size(stream.settings, stream.name).objects == 0
    assert ours(stream) == []
    again = sluice(stream, "drop-stream", "--force", "--", stream.name)
    assert (again.returncode, again.stdout) == (
        0,
        f"nothing to delete: the platform has no stream {stream.name!r} without a contract\n",
    )


def test_a_dropped_stream_can_be_added_again(stream: Stream) -> None:
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    found = find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    assert found is not None
    drop(stream.settings, found, lambda _: None)
    path.write_text(text)
    contracts = load_contracts(stream.settings.contracts)
    topics.provision(stream.settings, contracts)
    schema.provision(stream.settings, contracts)
    stream.send([EVENT % (1, 7)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1


@pytest.mark.parametrize("done", ["nothing", "topic", "half of the lake", "lake"])
def test_an_interrupted_drop_continues(stream: Stream, done: str) -> None:
    if done != "nothing":
        delete_topic(stream.settings, stream.name)
    if done == "half of the lake":
        keeper = client(stream.settings, "keeper")
        bucket = stream.settings.lake_bucket
        first = next(iter(keeper.list_objects(bucket_name=bucket, prefix=f"{stream.name}/", recursive=True)))
        keeper.remove_object(bucket_name=bucket, object_name=first.object_name)
    elif done == "lake":
        delete_table(stream.settings, stream.name)
    found = find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    assert found is not None
    drop(stream.settings, found, lambda _: None)
    assert tables(stream) == []
    assert find_dropped(stream.settings, NO_CONTRACTS, stream.name) is None
    assert table_size(stream.settings, stream.name).objects == 0


def test_a_drop_with_a_server_down_changes_nothing_that_the_next_one_does_not_finish(stream: Stream) -> None:
    found = find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    assert found is not None
    without_store = stream.settings.model_copy(update={"minio_port": 1})
    with pytest.raises(TransientError, match="MinIO at"):
        drop(without_store, found, lambda _: None)
    # The topic is gone, the warehouse still knows the stream.
    wait("Kafka to forget the topic", lambda: topic_use(stream.settings, stream.name) is None)
    assert f"raw.{stream.contract.table}" in tables(stream)
    found = find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    assert found is not None and found.topic_use is None
    drop(stream.settings, found, lambda _: None)
    assert tables(stream) == []


def test_a_stream_that_the_sink_still_reads_is_not_dropped_and_a_launch_restarts_the_sink(stream: Stream) -> None:
    sink = stream.start_sink()
    wait("the sink to read the topic", lambda: (use := topic_use(stream.settings, stream.name)) and use.readers)
    with pytest.raises(TransientError, match=r"group sluice-sink-.* still reads topic .*run `make up`"):
        find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    lines: list[str] = []
    restarted = threading.Event()
    provisioning = Provisioning(stream.settings, NO_CONTRACTS)
    (step,) = (step for step in provisioning.steps(restarted.set, lines.append) if step.name == REMOVED)
    step.run(threading.Event())
    assert restarted.is_set()
    # Reported during the launch, and again at its end.
    assert any(stream.name in line for line in lines)
    assert any(stream.name in line for line in provisioning.warnings())
    stream.stop_sink(sink)
    wait("the sink to leave", lambda: (use := topic_use(stream.settings, stream.name)) and not use.readers)
    assert find_dropped(stream.settings, NO_CONTRACTS, stream.name) is not None


def test_a_view_on_the_raw_table_is_named(stream: Stream) -> None:
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(
            f'create view public."v {stream.name}" as select reading from raw.{stream.contract.table}'.encode()
        )
    with pytest.raises(TerminalError, match=f'"v {stream.name}" reads the raw table of {stream.name}'):
        find_dropped(stream.settings, NO_CONTRACTS, stream.name)
    with connect(stream.settings, "postgres") as postgres:
        postgres.execute(f'drop view public."v {stream.name}"'.encode())


def test_the_alerts_of_a_removed_contract_are_cleared_with_the_reason(stream: Stream) -> None:
    sync_alerts(stream.settings, OVERDUE_LOAD, {stream.name: Problem("late", Run("monitor", "1"))})
    sync_alerts(stream.settings, RECONCILE, {"platform": Problem("differ", Run("reconcile", "1"))})
    (change,) = clear_alerts_of_removed(stream.settings, [stream.name])
    assert change.text() == (
        f"cleared: overdue load: {stream.name}: late; cleared because the contract of the stream was removed"
    )
    assert clear_alerts_of_removed(stream.settings, [stream.name]) == []
    assert len(sync_alerts(stream.settings, RECONCILE, {})) == 1


@pytest.mark.essential
def test_the_quarantine_of_a_stream_is_replayed_for_all_dates_and_only_with_a_contract(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(partitions=1)
    for day, moment in ((1, 1_357_035_300_000), (3, 1_357_208_100_000)):
        event = EVENT.replace(b"2013-01-01", b"2013-01-%02d" % day)
        stream.send([event % (day, -1)], moment)
    stream.land()
    load(stream.settings, stream.contract)
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    remove(stream)
    listed = sluice(stream, "quarantine", "list", "--stream", stream.name)
    assert listed.stdout.endswith("2 records in quarantine\n"), listed.stderr
    refused = sluice(stream, "quarantine", "replay", "--stream", stream.name)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"sluice: the contract of {stream.name} was removed: its records stay in quarantine. Hint: restore the file"
        f" {stream.name}.yaml and run `make up`, or delete everything with `make drop-stream NAME={stream.name}`.\n"
    )
    left = sluice(stream, "quarantine", "replay")
    assert f"{stream.name}: 2 not validated, because the stream has no valid contract" in left.stdout
    path.write_text(text.replace("minimum: 0, ", ""))
    replayed = sluice(stream, "quarantine", "replay", "--stream", stream.name)
    assert replayed.stdout.splitlines() == [
        f"{stream.name} 2013-01-01: 1 replayed, 0 left",
        f"{stream.name} 2013-01-03: 1 replayed, 0 left",
        "2 replayed, 0 still invalid",
    ]
