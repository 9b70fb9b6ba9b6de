"""The lake's commands on real servers: what is shown, proved, and recorded as lost."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest
from deltalake import DeltaTable, write_deltalake
from kafka import TopicPartition

from sluice.contracts import load_contracts
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
from tests.servers import Stream
from tests.waiting import wait

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


def lose(stream: Stream, partition: int, before: int) -> None:
    """Has Kafka delete a partition's first records, as retention does."""
    with topics.admin(stream.settings) as admin:
        admin.delete_records({TopicPartition(stream.name, partition): before})


def next_offsets(settings: Settings, streams: Iterable[str]) -> int:
    """How many offsets of all partitions the lake has passed."""
    return sum(part.head for each in status(settings, list(streams)) for part in each.partitions)


def refuses(done: "subprocess.CompletedProcess[str]", says: str) -> None:
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def event(number: int) -> bytes:
    return f'{{"event_id": "e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": 1}}'.encode()


def test_a_gap_is_refused_until_offsets_are_lost_then_recorded_and_everything_goes_on(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream(partitions=2)
    stream.send([event(n) for n in range(5)])
    stream.land()
    load(stream.settings, stream.contract)
    refuses(sluice(stream, "gap", stream.name, "0", "--to", "7", "--reason", "x"), "nothing is lost")
    stream.send([event(n) for n in range(5, 15)])
    lose(stream, 0, 12)
    refuses(sluice(stream, "gap", stream.name, "0", "--to", "11", "--reason", "x"), "say --to 12")
    refuses(sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", " "), "a gap needs a reason")
    refuses(sluice(stream, "gap", stream.name, "9", "--to", "12", "--reason", "x"), "no partition 9")
    refuses(sluice(stream, "gap", "no.stream", "0", "--to", "12", "--reason", "x"), "unknown stream 'no.stream'")

    done = sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", "the disk was full")
    assert done.returncode == 0, done.stderr
    assert f"{stream.name}/0: offsets 5 to 11 are recorded as lost" in done.stdout

    refuses(sluice(stream, "gap", stream.name, "0", "--to", "12", "--reason", "twice"), "nothing is lost")
    stream.land()
    load(stream.settings, stream.contract)
    found = verify(table_uri(stream.settings, stream.name), storage_options(stream.settings, "reader"))
    assert (found.faults, found.rows, found.empty) == ([], 8, 7)
    newest = DeltaTable(found.uri, storage_options=storage_options(stream.settings, "reader")).history()
    assert any('"gap":"the disk was full"' in str(commit.get("sluice.ranges")) for commit in newest)
    compared = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert compared.agrees, compared.text()
    assert "7 offsets below 15 hold no record" in compared.text()


def test_a_partition_of_which_nothing_is_left_reconciles_after_its_gap(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([event(n) for n in range(4)])
    lose(stream, 0, 4)
    sink = subprocess.run(stream.SINK, env=stream.environment, capture_output=True, text=True, timeout=60, check=False)
    assert sink.returncode == 1
    assert f"`sluice lake gap {stream.name} 0 --to 4 --reason" in sink.stderr
    assert sluice(stream, "gap", stream.name, "0", "--to", "4", "--reason", "retention").returncode == 0
    assert load(stream.settings, stream.contract).rows == 0
    compared = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert compared.agrees, compared.text()
    stream.send([event(4)])
    stream.land()
    assert load(stream.settings, stream.contract).rows == 1
    compared = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert compared.agrees, compared.text()


def test_status_shows_lag_files_and_orphans(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=2)
    stream.send([event(n) for n in range(5)])
    (before,) = status(stream.settings, [stream.name])
    assert before.version is None
    assert [part.lag for part in before.partitions] == [5, 0]
    stream.land()
    stream.send([event(5)], partition=1)
    keeper = DeltaTable(
        table_uri(stream.settings, stream.name), storage_options=storage_options(stream.settings, "keeper")
    )
    keeper.optimize.compact()
    bucket.client(stream.settings, "writer").fput_object(
        bucket_name=stream.settings.lake_bucket,
        object_name=f"{stream.name}/event_date=2013-01-01/left-behind.parquet",
        file_path=str(ROOT / "README.md"),
    )
    (found,) = status(stream.settings, [stream.name])
    assert [(part.head, part.end, part.lag) for part in found.partitions] == [(5, 5, 0), (0, 1, 1)]
    assert (found.rows, found.orphans) == (5, 1)
    assert found.orphan_size == (ROOT / "README.md").stat().st_size
    shown = sluice(stream, "status", "--stream", stream.name)
    assert shown.returncode == 0, shown.stderr
    assert re.search(rf"{re.escape(stream.name)} +1 +0 +0 +0 +1 +1\n", shown.stdout), shown.stdout


def test_verify_names_faults_and_fails(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send([event(n) for n in range(5)])
    stream.land()
    assert sluice(stream, "verify").returncode == 0
    uri, options = table_uri(stream.settings, stream.name), storage_options(stream.settings, "keeper")
    rows = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    write_deltalake(uri, rows.slice(1, 2), mode="append", storage_options=options)
    done = sluice(stream, "verify", "--stream", stream.name)
    assert done.returncode == 1
    assert "not the sink's: a WRITE that names no offsets" in done.stdout
    assert "2 rows are doubled" in done.stdout
    path = DeltaTable(uri, storage_options=options).file_uris()[0].removeprefix(f"{uri}/")
    bucket.client(stream.settings, "keeper").remove_object(
        bucket_name=stream.settings.lake_bucket, object_name=f"{stream.name}/{path}"
    )
    done = sluice(stream, "verify", "--stream", stream.name)
    assert done.returncode == 1
    assert f"file {path}: is missing" in done.stdout


def test_a_week_through_a_sink_that_is_killed_has_no_gap_no_overlap_and_no_wrong_hash(
    servers: Settings, environment_file: Path
) -> None:
    contracts = load_contracts(servers.contracts)
    topics.provision(servers, contracts)
    environment = {**os.environ, "SLUICE_ENV_FILE": str(environment_file), "SLUICE_SINK_AGE_SECONDS": "0.5"}
    replay = [sys.executable, "-m", "producers", "replay", "--from", "2013-01-01", "--to", "2013-01-07"]
    # Half a minute long, so that every sink is killed between its commits.
    producer = subprocess.Popen([*replay, "--late", "0.05:24", "--speed", "20000"], env=environment, cwd=ROOT)
    random = Random(7)
    sinks = [subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT)]
    try:
        landed = 0
        while len(sinks) <= KILLS:
            more = partial(lambda before: (now := next_offsets(servers, contracts)) > before and now, landed)
            landed = wait("more in the lake", more, alive=sinks[-1])
            time.sleep(random.uniform(0, 1))
            sinks[-1].send_signal(signal.SIGKILL)
            sinks[-1].wait()
            sinks.append(subprocess.Popen(Stream.SINK, env=environment, cwd=ROOT))
        assert producer.wait(timeout=120) == 0
        wait(
            "everything in the lake",
            lambda: not any(part.lag for each in status(servers, list(contracts)) for part in each.partitions),
            alive=sinks[-1],
        )
    finally:
        for process in (producer, *sinks):
            process.kill()
            process.wait()
    total = commits = 0
    for stream in contracts:
        found = verify(table_uri(servers, stream), storage_options(servers, "reader"))
        print(found.text(stream))
        assert found.faults == []
        assert found.oldest == 0
        total += found.rows
        commits += found.commits
    assert total == sum(each.end for each in topics.kafka_ranges(servers, list(contracts))) > 10_000
    print(f"{KILLS} sinks killed, {commits} commits, {total} rows")
    assert commits > KILLS * 2


def test_the_store_refuses_a_second_create(servers: Settings) -> None:
    for _ in range(2):
        require_create_once(servers)
    objects = bucket.client(servers, "reader").list_objects(servers.lake_bucket, prefix="_probe/", recursive=True)
    assert [item.object_name for item in objects] == [PROBE]


def test_a_wrong_bucket_or_password_is_one_line(servers: Settings) -> None:
    with pytest.raises(TerminalError, match="SLUICE_LAKE"):
        require_create_once(servers.model_copy(update={"lake_bucket": "nothing-there"}))
    with pytest.raises(TerminalError, match="SLUICE_LAKE"):
        require_create_once(servers.model_copy(update={"lake_writer_password": servers.lake_reader_password}))


class Careless(BaseHTTPRequestHandler):
    """A store that has never heard of conditions: every put is accepted."""

    def do_GET(self) -> None:
        self.answer(b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>')

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(b"")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_sink_does_not_start_on_a_store_without_conditional_writes(
    make_stream: Callable[..., Stream], careless: int
) -> None:
    stream = make_stream(partitions=1)
    environment = {**stream.environment, "SLUICE_MINIO_PORT": str(careless)}
    sink = subprocess.run(stream.SINK, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert sink.returncode == 1
    assert "it has no conditional writes (If-None-Match)" in sink.stderr.strip().splitlines()[-1]
    assert "Traceback" not in sink.stderr
