"""A load that is killed, disconnected or rejected at any point loads every offset exactly once when it is retried."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.servers import postgres
from infra.supervision.platform import Platform
from sluice.errors import TerminalError, TransientError
from sluice.lake import bucket
from sluice.load import load, reload
from sluice.settings import ROOT, Settings
from sluice.warehouse import connect
from tests.faults.killable_load import TRANSIENT
from tests.faults.load_harness import LoadHarness
from tests.faults.postgres_proxy import COPY_DATA, COPY_DONE, Cut, Message, PostgresProxy
from tests.fixtures.servers import Stream

Say = Callable[[str], None]
SECOND = date(2013, 1, 2)


def _commit_of_rows() -> Callable[[Message], bool]:
    """Matches the commit of a transaction that has copied rows."""
    copied = False

    def matches(message: Message) -> bool:
        nonlocal copied
        copied = copied or message.type == COPY_DONE
        return copied and message.is_statement("COMMIT")

    return matches


POINTS: dict[str, Callable[[], Cut]] = {
    "before the copy": lambda: Cut(lambda message: message.is_statement("COPY")),
    "in the copy": lambda: Cut(lambda message: message.type == COPY_DATA, forwarded=True),
    "before the copy's end": lambda: Cut(lambda message: message.type == COPY_DONE),
    "after the copy": lambda: Cut(lambda message: message.type == COPY_DONE, forwarded=True),
    "before the ledger": lambda: Cut(lambda message: message.is_statement("COPY", "LOADS")),
    "before the commit": lambda: Cut(_commit_of_rows()),
    "after the commit": lambda: Cut(_commit_of_rows(), forwarded=True),
}
"""At the last point the server has committed, and the client does not know."""
RELOAD_POINTS = [point for point in POINTS if point != "before the ledger"]


@pytest.fixture
def load_harness(make_stream: Callable[..., Stream]) -> LoadHarness:
    """A stream of two partitions with 400 records, none of them loaded."""
    load_harness = LoadHarness(make_stream(partitions=2))
    load_harness.fill()
    return load_harness


@pytest.fixture
def proxy(servers: Settings) -> Iterator[PostgresProxy]:
    with PostgresProxy(servers.postgres_port) as proxy:
        yield proxy


ESSENTIAL = pytest.mark.essential
SHORT = ("in the copy", "before the commit", "after the commit")


def _start(load_harness: LoadHarness, proxy: PostgresProxy, *day: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.killable_load", load_harness.stream.name, *day]
    environment = load_harness.stream.environment | {"SLUICE_POSTGRES_PORT": str(proxy.port)}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _kill_at(load_harness: LoadHarness, proxy: PostgresProxy, point: str, *day: str) -> None:
    cut = POINTS[point]()
    cut.act = lambda: os.kill(process.pid, signal.SIGKILL)
    proxy.inject(cut)
    process = _start(load_harness, proxy, *day)
    process.communicate(timeout=60)
    assert (process.returncode, cut.made) == (-signal.SIGKILL, 1)


@pytest.mark.parametrize("point", [pytest.param(point, marks=ESSENTIAL if point in SHORT else ()) for point in POINTS])
def test_a_killed_load_is_repeated_without_loss(
    load_harness: LoadHarness, proxy: PostgresProxy, say: Say, point: str
) -> None:
    _kill_at(load_harness, proxy, point)
    load_harness.check(complete=False)
    load(load_harness.settings, load_harness.contract)
    say(f"killed {point}: {load_harness.check()}")


@pytest.mark.parametrize("point", RELOAD_POINTS)
def test_a_killed_reload_changes_nothing(load_harness: LoadHarness, proxy: PostgresProxy, say: Say, point: str) -> None:
    load(load_harness.settings, load_harness.contract)
    _kill_at(load_harness, proxy, point, SECOND.isoformat())
    say(f"killed {point}: {load_harness.check()}")
    reload(load_harness.settings, load_harness.contract, SECOND)
    load_harness.check()


@pytest.mark.parametrize("point", POINTS)
def test_a_lost_connection_is_a_transient_error(
    load_harness: LoadHarness, proxy: PostgresProxy, say: Say, point: str
) -> None:
    proxy.inject(POINTS[point]())
    through = load_harness.settings.model_copy(update={"postgres_port": proxy.port})
    with pytest.raises(TransientError) as caught:
        load(through, load_harness.contract)
    assert "\n" not in str(caught.value)
    load_harness.check(complete=False)
    rows = load(through, load_harness.contract).rows
    say(f"connection lost {point}: {load_harness.check()}, {rows} of them by the second attempt")


def test_postgres_restarts_during_a_copy(
    load_harness: LoadHarness, proxy: PostgresProxy, servers: Settings, environment_file: object, say: Say
) -> None:
    platform = Platform(servers, environment_file)  # type: ignore[arg-type]

    restarted = threading.Event()

    def restart() -> None:
        platform.supervisor.stop("postgres")
        platform.start(["postgres"])
        restarted.set()

    cut = POINTS["in the copy"]()
    cut.act = restart
    proxy.inject(cut)
    process = _start(load_harness, proxy)
    process.communicate(timeout=120)
    assert (process.returncode, cut.made) == (TRANSIENT, 1)
    assert restarted.wait(60)
    load(load_harness.settings, load_harness.contract)
    say(f"Postgres restarted during a copy: {load_harness.check()}")


def test_a_full_disk_is_a_transient_error(load_harness: LoadHarness, servers: Settings, say: Say) -> None:
    """The raw table is on a file system of one megabyte."""
    folder = servers.home / "full"
    folder.mkdir()
    owner = postgres.data(servers).stat().st_uid
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=1m,mode=700,uid={owner}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    table = load_harness.contract.table
    try:
        with connect(servers, "postgres") as server:
            server.autocommit = True
            server.execute(f"create tablespace small location '{folder}'".encode())
            server.execute(f"alter table raw.{table} set tablespace small".encode())
        load_harness.fill(commits=4, records=5_000)
        with pytest.raises(TransientError, match="No space left on device"):
            load(load_harness.settings, load_harness.contract)
        load_harness.check(complete=False)
        with connect(servers, "postgres") as server:
            server.execute(f"alter table raw.{table} set tablespace pg_default".encode())
        load(load_harness.settings, load_harness.contract)
        say(f"disk full, then freed: {load_harness.check()}")
    finally:
        with connect(servers, "postgres") as server:
            server.autocommit = True
            server.execute(f"alter table raw.{table} set tablespace pg_default".encode())
            server.execute(b"drop tablespace if exists small")
        subprocess.run(["umount", folder], check=True)


def _missing(data: bytes) -> bytes | None:
    return None


def _short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _altered(data: bytes) -> bytes:
    """Flips one bit so that the file stays readable and only its values change."""
    intact = pq.read_table(io.BytesIO(data))
    for position in range(len(data) // 4, len(data)):
        altered = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            rows = pq.read_table(io.BytesIO(altered))
        except (OSError, pa.ArrowException):
            continue
        if (
            rows.schema == intact.schema
            and rows["offset"].equals(intact["offset"])
            and not rows["value"].equals(intact["value"])
        ):
            return altered
    raise AssertionError("no single bit changes only a value")


@pytest.mark.parametrize("damage", [_missing, _short, _altered])
def test_a_corrupt_file_is_reported_and_not_loaded(
    load_harness: LoadHarness, make_stream: Callable[..., Stream], say: Say, damage: Callable[[bytes], bytes | None]
) -> None:
    other = LoadHarness(make_stream(partitions=1))
    other.fill()
    client = bucket.client(load_harness.settings, "root")
    lake = load_harness.settings.lake_bucket
    name = next(
        item.object_name
        for item in client.list_objects(
            bucket_name=lake, prefix=f"{load_harness.stream.name}/event_date=", recursive=True
        )
    )
    intact = client.get_object(bucket_name=lake, object_name=name).read()
    _put(load_harness, name, damage(intact))

    with pytest.raises(TerminalError) as caught:
        load(load_harness.settings, load_harness.contract)

    assert name.rpartition("/")[2] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load_harness.check(complete=False).startswith("0 rows")
    load(other.settings, other.contract)
    other.check()
    _put(load_harness, name, intact)
    load(load_harness.settings, load_harness.contract)
    say(f"a file that is {damage.__name__[1:]}: rejected and reported; restored: {load_harness.check()}")


def _put(load_harness: LoadHarness, name: str, data: bytes | None) -> None:
    client = bucket.client(load_harness.settings, "root")
    lake = load_harness.settings.lake_bucket
    if data is None:
        client.remove_object(bucket_name=lake, object_name=name)
    else:
        client.put_object(bucket_name=lake, object_name=name, data=io.BytesIO(data), length=len(data))
