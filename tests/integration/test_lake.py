"""The lake's commands on real servers: status, verify and gap; and the sink's check of the store."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest
from deltalake import DeltaTable, write_deltalake
from kafka import TopicPartition

from sluice.contracts import load_contracts, topic_names
from sluice.errors import TerminalError
from sluice.kafka import topics
from sluice.lake import bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.probe import PROBE, require_create_once
from sluice.lake.verify import verify
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import ROOT, Settings
from sluice.sink.status import status
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

KILLS = 3


def sluice(stream: Stream, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", "lake", *arguments],
        env=stream.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def delete_records(stream: Stream, partition: int, before: int) -> None:
    """Makes Kafka delete a partition's first records, as retention does."""
    with topics.admin(stream.settings) as admin:
        admin.delete_records({TopicPartition(stream.name, partition): before})


def total_offsets(settings: Settings, topics: Mapping[str, str]) -> int:
    """Returns the sum of the lake's next offsets over all partitions."""
    return sum(partition.next_offset for stream in status(settings, topics) for partition in stream.partitions)


def assert_rejected(result: "subprocess.CompletedProcess[str]", message: str) -> None:
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def event(number: int) -> bytes:
    return f'{{"event_id": "e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": 1}}'.encode()


def test_a_gap_is_rejected_until_offsets_are_lost_then_recorded_and_the_sink_resumes(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(partitions=2)
    stream.send([event(n) for n in range(5)])
    stream.land()
    load(stream.settings, stream.contract)
    assert_rejected(sluice(stream, "gap", stream.name, "0", "--to", "7", "--reason", "x"), "nothing is lost")
    stream.send([event(n) for n in range(5, 15)])
    delete_records(stream, 0, 12)
    assert_rejected(sluice(stream, "gap", stream.name, "0", "--to", "11", "--reason", "x"), "pass --to 12")
    assert_rejected(sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", " "), "a gap needs a reason")
    assert_rejected(sluice(stream, "gap", stream.name, "9", "--to", "12", "--reason", "x"), "no partition 9")
    assert_rejected(
        sluice(stream, "gap", "no.stream", "0", "--to", "12", "--reason", "x"), "unknown stream 'no.stream'"
    )

    result = sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", "the disk was full")
    assert result.returncode == 0, result.stderr
    assert f"{stream.name}/0: offsets 5 to 11 recorded as lost" in result.stdout

    assert_rejected(sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", "twice"), "nothing is lost")
    stream.land()
    load(stream.settings, stream.contract)
    verified = verify(table_uri(stream.settings, stream.name), storage_options(stream.settings, "reader"))
    assert (verified.faults, verified.rows, verified.empty) == ([], 8, 7)
    history = DeltaTable(verified.uri, storage_options=storage_options(stream.settings, "reader")).history()
    assert any('"gap":"the disk was full"' in str(commit.get("sluice.ranges")) for commit in history)
    report = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert report.agrees, report.text()
    assert "7 offsets below 15 hold no record" in report.text()


def test_a_partition_without_any_record_left_reconciles_after_its_gap(
    make_stream: Callable[..., Stream], tmp_path: Path
) -> None:
    stream = make_stream(partitions=1)
    stream.send([event(n) for n in range(4)])
    delete_records(stream, 0, 4)
    log = tmp_path / "sink.log"
    with log.open("wb") as file:
        sink = subprocess.Popen(stream.SINK, env=stream.environment, cwd=ROOT, stderr=file)
    stream.processes.append(sink)
    wait("the sink says what to do", lambda: f'`make lake A="gap {stream.name} 0 --to 4 --reason' in log.read_text())
    stream.stop_sink(sink)
    assert sluice(stream, "gap", stream.name, "0", "--to", "4", "--reason", "retention").returncode == 0
    assert load(stream.settings, stream.contract).rows == 0
    report = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert report.agrees, report.text()
    stream.send([event(4)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    report = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert report.agrees, report.text()


@pytest.mark.essential
def test_status_shows_lag_files_and_orphans(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    stream.send([event(n) for n in range(5)])
    (before,) = status(stream.settings, stream.topics)
    assert before.version is None
    assert [partition.lag for partition in before.partitions] == [5, 0]
    stream.land()
    stream.send([event(5)], partition=1)
    keeper = DeltaTable(
        table_uri(stream.settings, stream.name), storage_options=storage_options(stream.settings, "keeper")
    )
    keeper.optimize.compact()
    bucket.client(stream.settings, "writer").fput_object(
        bucket_name=stream.settings.lake_bucket,
        object_name=f"{stream.name}/event_date=2013-01-01/orphan.parquet",
        file_path=str(ROOT / "README.md"),
    )
    (after,) = status(stream.settings, stream.topics)
    offsets = [(partition.next_offset, partition.end, partition.lag) for partition in after.partitions]
    assert offsets == [(5, 5, 0), (0, 1, 1)]
    assert (after.rows, after.orphans) == (5, 1)
    assert after.orphan_size == (ROOT / "README.md").stat().st_size
    result = sluice(stream, "status", "--stream", stream.name)
    assert result.returncode == 0, result.stderr
    assert re.search(rf"{re.escape(stream.name)} +1 +0 +0 +0 +1 +1\n", result.stdout), result.stdout


def test_verify_reports_faults_and_fails(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([event(n) for n in range(5)])
    stream.land()
    assert sluice(stream, "verify").returncode == 0
    uri, options = table_uri(stream.settings, stream.name), storage_options(stream.settings, "keeper")
    rows = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    write_deltalake(uri, rows.slice(1, 2), mode="append", storage_options=options)
    result = sluice(stream, "verify", "--stream", stream.name)
    assert result.returncode == 1
    assert "not written by the sink: WRITE without offset ranges" in result.stdout
    assert "2 rows are duplicated" in result.stdout
    path = DeltaTable(uri, storage_options=options).file_uris()[0].removeprefix(f"{uri}/")
    bucket.client(stream.settings, "keeper").remove_object(
        bucket_name=stream.settings.lake_bucket, object_name=f"{stream.name}/{path}"
    )
    result = sluice(stream, "verify", "--stream", stream.name)
    assert result.returncode == 1
    assert f"file {path}: is missing" in result.stdout


def test_a_week_through_killed_sinks_verifies_without_a_fault(servers: Settings, environment_file: Path) -> None:
    contracts = load_contracts(servers.contracts)
    topics.provision(servers, contracts)
    environment = {**os.environ, "SLUICE_ENV_FILE": str(environment_file), "SLUICE_SINK_AGE_SECONDS": "0.5"}
    replay = [sys.executable, "-m", "producers", "replay", "--from", "2013-01-01", "--to", "2013-01-07"]
    # The replay takes half a minute, so that every sink is killed between its commits.
    producer = subprocess.Popen([*replay, "--late", "0.05:24", "--speed", "20000"], env=environment, cwd=ROOT)
    random = Random(7)
    sinks = [subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT)]
    try:
        landed = 0
        while len(sinks) <= KILLS:

            def more(before: int = landed) -> int:
                now = total_offsets(servers, topic_names(contracts))
                # Where sinks start slowly, the producer may have ended, and the last one has nothing left to commit.
                return now if now > before or producer.poll() is not None else 0

            landed = wait("more records in the lake", more, alive=sinks[-1])
            time.sleep(random.uniform(0, 1))
            sinks[-1].send_signal(signal.SIGKILL)
            sinks[-1].wait()
            sinks.append(subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT))
        assert producer.wait(timeout=120) == 0
        wait(
            "everything in the lake",
            lambda: (
                not any(
                    partition.lag
                    for stream in status(servers, topic_names(contracts))
                    for partition in stream.partitions
                )
            ),
            alive=sinks[-1],
        )
    finally:
        for process in (producer, *sinks):
            process.kill()
            process.wait()
    total = commits = 0
    for stream in contracts:
        verified = verify(table_uri(servers, stream), storage_options(servers, "reader"))
        print(verified.text(stream))
        assert verified.faults == []
        assert verified.oldest == 0
        total += verified.rows
        commits += verified.commits
    ranges = topics.kafka_ranges(servers, topic_names(contracts))
    assert total == sum(kafka_range.end for kafka_range in ranges) > 10_000
    print(f"{KILLS} sinks killed, {commits} commits, {total} rows")
    assert commits > KILLS * 2


@pytest.mark.essential
def test_the_store_rejects_a_second_create(servers: Settings) -> None:
    for _ in range(2):
        require_create_once(servers)
    objects = bucket.client(servers, "reader").list_objects(servers.lake_bucket, prefix="_probe/", recursive=True)
    assert [item.object_name for item in objects] == [PROBE]


@pytest.mark.essential
def test_a_wrong_bucket_or_password_is_a_terminal_error(servers: Settings) -> None:
    with pytest.raises(TerminalError, match="SLUICE_LAKE"):
        require_create_once(servers.model_copy(update={"lake_bucket": "nothing-there"}))
    with pytest.raises(TerminalError, match="SLUICE_LAKE"):
        require_create_once(servers.model_copy(update={"lake_writer_password": servers.lake_reader_password}))


class UnconditionalStore(BaseHTTPRequestHandler):
    """A store without conditional writes, which accepts every PUT."""

    def do_GET(self) -> None:
        self.respond(b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>')

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.respond(b"")

    def respond(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def unconditional_store() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), UnconditionalStore) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_sink_does_not_start_on_a_store_without_conditional_writes(
    make_stream: Callable[..., Stream], unconditional_store: int
) -> None:
    stream = make_stream(partitions=1)
    environment = {**stream.environment, "SLUICE_MINIO_PORT": str(unconditional_store)}
    sink = subprocess.run(stream.SINK, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert sink.returncode == 1
    assert "it has no conditional writes (If-None-Match)" in sink.stderr.strip().splitlines()[-1]
    assert "Traceback" not in sink.stderr
