"""A load that is killed, cut off or refused at any point loads each offset once, when it is tried again."""

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
from tests.faults.landed import Landed
from tests.faults.load_once import TRANSIENT
from tests.faults.postgres_proxy import COPY_DATA, COPY_DONE, Cut, Message, PostgresProxy
from tests.servers import Stream

Say = Callable[[str], None]
SECOND = date(2013, 1, 2)


def _commit_of_rows() -> Callable[[Message], bool]:
    """Matches the commit of a transaction that has copied something."""
    copied = False

    def matches(message: Message) -> bool:
        nonlocal copied
        copied = copied or message.type == COPY_DONE
        return copied and message.says("COMMIT")

    return matches


POINTS: dict[str, Callable[[], Cut]] = {
    "before the copy": lambda: Cut(lambda message: message.says("COPY")),
    "in the copy": lambda: Cut(lambda message: message.type == COPY_DATA, forwarded=True),
    "before the copy's end": lambda: Cut(lambda message: message.type == COPY_DONE),
    "after the copy": lambda: Cut(lambda message: message.type == COPY_DONE, forwarded=True),
    "before the ledger": lambda: Cut(lambda message: message.says("COPY", "LOADS")),
    "before the commit": lambda: Cut(_commit_of_rows()),
    "after the commit": lambda: Cut(_commit_of_rows(), forwarded=True),
}
"""After the commit the server has made it, and the client does not know."""
RELOAD_POINTS = [point for point in POINTS if point != "before the ledger"]


@pytest.fixture
def landed(make_stream: Callable[..., Stream]) -> Landed:
    """A stream of two partitions with 400 records, none of them loaded."""
    found = Landed(make_stream(partitions=2))
    found.fill()
    return found


@pytest.fixture
def proxy(servers: Settings) -> Iterator[PostgresProxy]:
    with PostgresProxy(servers.postgres_port) as found:
        yield found


def _start(landed: Landed, proxy: PostgresProxy, *day: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.load_once", landed.stream.name, *day]
    environment = landed.stream.environment | {"SLUICE_POSTGRES_PORT": str(proxy.port)}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _kill_at(landed: Landed, proxy: PostgresProxy, point: str, *day: str) -> None:
    cut = POINTS[point]()
    cut.act = lambda: os.kill(process.pid, signal.SIGKILL)
    proxy.inject(cut)
    process = _start(landed, proxy, *day)
    process.communicate(timeout=60)
    assert (process.returncode, cut.made) == (-signal.SIGKILL, 1)


@pytest.mark.parametrize("point", POINTS)
def test_killed(landed: Landed, proxy: PostgresProxy, say: Say, point: str) -> None:
    _kill_at(landed, proxy, point)
    landed.check(whole=False)
    load(landed.settings, landed.contract)
    say(f"killed {point}: {landed.check()}")


@pytest.mark.parametrize("point", RELOAD_POINTS)
def test_killed_while_a_date_is_loaded_again(landed: Landed, proxy: PostgresProxy, say: Say, point: str) -> None:
    load(landed.settings, landed.contract)
    _kill_at(landed, proxy, point, SECOND.isoformat())
    say(f"killed {point}: {landed.check()}")
    reload(landed.settings, landed.contract, SECOND)
    landed.check()


@pytest.mark.parametrize("point", POINTS)
def test_cut_off(landed: Landed, proxy: PostgresProxy, say: Say, point: str) -> None:
    proxy.inject(POINTS[point]())
    through = landed.settings.model_copy(update={"postgres_port": proxy.port})
    with pytest.raises(TransientError) as caught:
        load(through, landed.contract)
    assert "\n" not in str(caught.value)
    landed.check(whole=False)
    rows = load(through, landed.contract).rows
    say(f"connection lost {point}: {landed.check()}, {rows} of them by the second try")


def test_postgres_is_restarted_in_a_copy(
    landed: Landed, proxy: PostgresProxy, servers: Settings, environment_file: object, say: Say
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
    process = _start(landed, proxy)
    process.communicate(timeout=120)
    assert (process.returncode, cut.made) == (TRANSIENT, 1)
    assert restarted.wait(60)
    load(landed.settings, landed.contract)
    say(f"Postgres restarted in a copy: {landed.check()}")


def test_the_disk_is_full(landed: Landed, servers: Settings, say: Say) -> None:
    """The raw table lies on a file system of one megabyte."""
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
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    table = landed.contract.table
    try:
        with connect(servers, "postgres") as server:
            server.autocommit = True
            server.execute(f"create tablespace small location '{folder}'".encode())
            server.execute(f"alter table raw.{table} set tablespace small".encode())
        landed.fill(commits=4, records=5_000)
        with pytest.raises(TransientError, match="No space left on device"):
            load(landed.settings, landed.contract)
        landed.check(whole=False)
        with connect(servers, "postgres") as server:
            server.execute(f"alter table raw.{table} set tablespace pg_default".encode())
        load(landed.settings, landed.contract)
        say(f"disk full, then not: {landed.check()}")
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
    """One bit differs, the file is as long as it was and can be read without an error: only its values are others."""
    intact = pq.read_table(io.BytesIO(data))
    for place in range(len(data) // 4, len(data)):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = pq.read_table(io.BytesIO(altered))
        except (OSError, pa.ArrowException):
            continue
        if (
            found.schema == intact.schema
            and found["offset"].equals(intact["offset"])
            and not found["value"].equals(intact["value"])
        ):
            return altered
    raise AssertionError("no bit changes a value alone")


@pytest.mark.parametrize("damage", [_missing, _short, _altered])
def test_a_damaged_file_is_named_and_nothing_of_it_is_loaded(
    landed: Landed, make_stream: Callable[..., Stream], say: Say, damage: Callable[[bytes], bytes | None]
) -> None:
    other = Landed(make_stream(partitions=1))
    other.fill()
    client = bucket.client(landed.settings, "root")
    lake = landed.settings.lake_bucket
    name = next(
        found.object_name
        for found in client.list_objects(bucket_name=lake, prefix=f"{landed.stream.name}/event_date=", recursive=True)
    )
    intact = client.get_object(bucket_name=lake, object_name=name).read()
    _put(landed, name, damage(intact))

    with pytest.raises(TerminalError) as caught:
        load(landed.settings, landed.contract)

    assert name.rpartition("/")[2] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert landed.check(whole=False).startswith("0 rows")
    load(other.settings, other.contract)
    other.check()
    _put(landed, name, intact)
    load(landed.settings, landed.contract)
    say(f"a file that is {damage.__name__[1:]}: refused and named; put back: {landed.check()}")


def _put(landed: Landed, name: str, data: bytes | None) -> None:
    client = bucket.client(landed.settings, "root")
    lake = landed.settings.lake_bucket
    if data is None:
        client.remove_object(bucket_name=lake, object_name=name)
    else:
        client.put_object(bucket_name=lake, object_name=name, data=io.BytesIO(data), length=len(data))
