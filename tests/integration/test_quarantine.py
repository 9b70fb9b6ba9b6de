"""The quarantine on real servers: what fits goes to raw once, what is discarded stays, and nothing goes unrecorded."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.load import load, reload
from sluice.quarantine.records import Selection, discard, groups, show
from sluice.quarantine.replay import replay
from sluice.reconcile import reconcile
from sluice.settings import ROOT
from sluice.warehouse import connect, schema
from tests.servers import Stream
from tests.waiting import wait

FIRST = date(2013, 1, 1)
THIRD_MS = 1_357_200_000_000
"""2013-01-03T08:00:00Z."""


def event(number: int, **changes: object) -> bytes:
    fields = {"event_id": f"e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": number}
    return json.dumps(fields | changes).encode()


def query(stream: Stream, text: str) -> list[tuple[object, ...]]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(text.format(raw=f"raw.{stream.contract.table}", stream=stream.name).encode()).fetchall()


def agrees(stream: Stream) -> None:
    found = reconcile(stream.settings, {stream.name: stream.contract}, patience=0)
    assert found.agrees, found.text()


def change(stream: Stream, old: str, new: str) -> None:
    """Edits the contract, and has the warehouse know it."""
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    contracts = load_contracts(stream.settings.contracts)
    schema.provision(stream.settings, contracts)
    stream.contract = contracts[stream.name]


def run(stream: Stream, **selected: object) -> tuple[int, int]:
    """Replays; returns how many went to raw, and how many stayed."""
    contracts = {stream.name: stream.contract}
    done = list(replay(stream.settings, contracts, Selection(stream.name, **selected), "tester"))
    return sum(each.moved for each in done), sum(each.left for each in done)


def sluice(stream: Stream, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", "quarantine", *arguments]
    return subprocess.run(
        command, env=stream.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def stream(make_stream: Callable[..., Stream]) -> Stream:
    """Four good events, three below the minimum (one of which has another fault too), two that are no JSON."""
    made = make_stream(partitions=2)
    made.send([event(n) for n in range(4)])
    made.send(
        [event(4, reading=-1), event(5, reading=-2, read_at="2013-01-01T11:00:00Z"), b"nope", b"\xff\xfe"], partition=1
    )
    made.send([event(6, reading=-3, read_at="2013-01-03T08:00:00Z")], THIRD_MS, partition=1)
    made.land()
    load(made.settings, made.contract)
    return made


def test_what_fits_a_loosened_contract_goes_to_raw_at_its_own_offset_and_once(stream: Stream) -> None:
    assert run(stream) == (0, 5)
    change(stream, "minimum: 0, ", "")
    touched = "select count(*) from ops.touched_dates where stream = '{stream}'"
    before = query(stream, touched)[0][0]

    assert run(stream) == (2, 3)
    after = query(stream, "select xmin::text, * from {raw} order by _partition, _offset")
    assert run(stream) == (0, 3)

    assert query(stream, "select xmin::text, * from {raw} order by _partition, _offset") == after
    assert query(stream, "select event_id, reading, _offset, _event_date::text from {raw} where _partition = 1") == [
        ("e4", -1, 0, "2013-01-01"),
        ("e6", -3, 4, "2013-01-03"),
    ]
    # The record with two faults is told the one that it has left.
    assert query(stream, 'select "offset", kind from ops.quarantine where stream = \'{stream}\' order by "offset"') == [
        (1, "read_at: … is not the record's timestamp …"),
        (2, "not JSON: Expecting value at character …"),
        (3, "not JSON: not UTF-8 at byte …"),
    ]
    assert query(
        stream,
        'select partition, "offset", event_date::text, reason, action, note, done_by from ops.quarantine_log'
        " where stream = '{stream}' order by 1, 2",
    ) == [
        (1, 0, "2013-01-01", "reading: -1 is below the minimum 0", "replayed", "fits its contract now", "tester"),
        (1, 4, "2013-01-03", "reading: -3 is below the minimum 0", "replayed", "fits its contract now", "tester"),
    ]
    assert query(stream, touched) == [(before + 2,)]
    agrees(stream)


def test_only_what_is_selected_is_replayed(stream: Stream) -> None:
    change(stream, "minimum: 0, ", "")
    assert run(stream, reason="not JSON") == (0, 2)
    assert run(stream, day=date(2013, 1, 3)) == (1, 0)
    # By the kind that the list prints.
    assert run(stream, reason="reading: … is below") == (1, 1)
    agrees(stream)


def test_a_column_that_the_contract_has_gained_comes_with_the_replay(stream: Stream) -> None:
    stream.send([event(9, reading=-9, unit="K")])
    stream.land()
    load(stream.settings, stream.contract)
    change(stream, "minimum: 0, ", "")
    change(stream, "columns:\n", "columns:\n  - {name: unit, type: string, description: Of the reading.}\n")
    assert run(stream, day=FIRST) == (2, 3)
    assert query(stream, "select event_id, unit from {raw} where reading < 0 order by 1") == [("e4", None), ("e9", "K")]
    agrees(stream)


def test_what_is_known_of_the_date_follows(stream: Stream) -> None:
    with connect(stream.settings, "loader") as loader:
        loader.execute("delete from ops.dates where stream = %s", (stream.name,))
        loader.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values (%s, %s, 4, 4, 0, 0, 1, '2013-01-01Z')",
            (stream.name, FIRST),
        )
    change(stream, "minimum: 0, ", "")
    run(stream)
    run(stream)
    assert query(
        stream,
        "select d.rows, quarantined, late, version, loaded_at > '2013-01-02Z', pending from ops.date_status d"
        " where stream = '{stream}'",
    ) == [(5, 3, 0, 2, True, True)]


def test_a_replay_that_is_killed_leaves_everything_as_it_was(stream: Stream) -> None:
    change(stream, "minimum: 0, ", "")
    with connect(stream.settings, "loader") as blocker, connect(stream.settings, "reader") as watcher:
        watcher.autocommit = True
        # It gets as far as marking the date, which comes last.
        blocker.execute("lock table ops.touched_dates in share row exclusive mode")
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "quarantine", "replay"], env=stream.environment, cwd=ROOT
        )
        waiting = "select count(*) from pg_locks where not granted and relation = 'ops.touched_dates'::regclass"
        wait("its mark of the date", lambda: watcher.execute(waiting).fetchone() != (0,), alive=process)
        process.kill()
        process.wait()
    assert query(stream, "select count(*) from {raw}") == [(4,)]
    assert query(stream, "select count(*) from ops.quarantine_log where stream = '{stream}'") == [(0,)]
    assert run(stream) == (2, 3)
    agrees(stream)


def test_beside_loads_and_reloads_of_the_same_date_nothing_is_lost_or_doubled(stream: Stream) -> None:
    stream.send([event(n, reading=-n) for n in range(100, 1100)], partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    stream.send([event(n) for n in range(2000, 3000)])
    stream.land()
    change(stream, "minimum: 0, ", "")
    with ThreadPoolExecutor(4) as pool:
        replays = [pool.submit(run, stream) for _ in range(2)]
        others = [
            pool.submit(load, stream.settings, stream.contract),
            *(pool.submit(reload, stream.settings, stream.contract, FIRST) for _ in range(2)),
        ]
        for each in others:
            each.result()
        moved = sum(each.result()[0] for each in replays)
    run(stream)
    # A record leaves by a replay or by a reload, and there is an entry of each.
    assert query(stream, "select count(*), count(distinct (_partition, _offset)) from {raw}") == [(2006, 2006)]
    log = "select count(*), count(distinct (partition, \"offset\")) from ops.quarantine_log where stream = '{stream}'"
    entries, different = query(stream, log)[0]
    assert entries == different >= moved
    agrees(stream)


def test_what_is_discarded_stays_accounted_for_and_is_not_shown(stream: Stream) -> None:
    junk = Selection(stream.name, reason="not JSON")
    for note, name in (("", "me"), (" ", "me"), ("test data", "")):
        with pytest.raises(TerminalError, match="needs a note and a name"):
            discard(stream.settings, junk, note, name)
    assert discard(stream.settings, junk, "test data", "me") == 2
    assert discard(stream.settings, junk, "again", "me") == 0

    assert [(each.records, each.kind) for each in groups(stream.settings, Selection(stream.name))] == [
        (2, "reading: … is below the minimum 0"),
        (1, "reading: … is below the minimum 0"),
    ]
    assert show(stream.settings, junk, 9) == []
    everything = Selection(stream.name, reason="not JSON", discarded=True)
    assert [(each["offset"], each["note"], each["done_by"]) for each in show(stream.settings, everything, 9)] == [
        (2, "test data", "me"),
        (3, "test data", "me"),
    ]
    agrees(stream)
    reload(stream.settings, stream.contract, FIRST)
    assert [each.discarded for each in groups(stream.settings, everything)] == [1, 1]
    assert run(stream) == (0, 3)
    agrees(stream)


def test_the_commands(stream: Stream) -> None:
    listed = sluice(stream, "list", "--stream", stream.name)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines() == [
        f"{stream.name}  2013-01-01        2  reading: … is below the minimum 0",
        f"{stream.name}  2013-01-01        1  not JSON: Expecting value at character …",
        f"{stream.name}  2013-01-01        1  not JSON: not UTF-8 at byte …",
        f"{stream.name}  2013-01-03        1  reading: … is below the minimum 0",
        "5 records in quarantine",
    ]
    shown = sluice(stream, "show", "--stream", stream.name, "--reason", "not JSON", "-n", "2")
    first, second = (json.loads(line) for line in shown.stdout.splitlines())
    assert (first["partition"], first["offset"], first["timestamp"]) == (1, 2, "2013-01-01T10:15:00+00:00")
    assert (first["value"], first["reason"]) == ("nope", "not JSON: Expecting value at character 0")
    assert second["value"] == {"base64": "//4="}
    assert sluice(stream, "discard", "--stream", stream.name).returncode == 2
    done = sluice(stream, "discard", "--stream", stream.name, "--reason", "not JSON", "--note", "noise", "--by", "me")
    assert done.stdout == "2 discarded\n"
    everything = sluice(stream, "list", "--stream", stream.name, "--all").stdout
    assert "1  not JSON: not UTF-8 at byte …  (1 discarded)" in everything
    change(stream, "minimum: 0, ", "")
    done = sluice(stream, "replay", "--stream", stream.name)
    assert done.stdout.splitlines() == [
        f"{stream.name} 2013-01-01: 1 replayed, 1 left",
        f"{stream.name} 2013-01-03: 1 replayed, 0 left",
        "2 replayed, 1 do not fit their contract",
    ]
    for arguments, says in (
        (["list", "--stream", "no.such"], "unknown stream 'no.such'"),
        (["show", "--date", "yesterday"], "'yesterday' is no date"),
        (["discard", "--note", " "], "discarding needs a note"),
    ):
        done = sluice(stream, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert says in done.stderr
