"""The quarantine on real servers: valid records move to raw once, discarded ones stay, and everything is logged."""

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
from tests.fixtures.servers import Stream
from tests.fixtures.waiting import wait

FIRST = date(2013, 1, 1)
LOOSER = ("minimum: 0, ", "minimum: -10, ")
"""What a change of the contract replaces, and by what."""
THIRD_MS = 1_357_200_000_000
"""2013-01-03T08:00:00Z."""


def event(number: int, **changes: object) -> bytes:
    fields = {"event_id": f"e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": number}
    return json.dumps(fields | changes).encode()


def query(stream: Stream, text: str) -> list[tuple[object, ...]]:
    with connect(stream.settings, "reader") as reader:
        return reader.execute(text.format(raw=f"raw.{stream.contract.table}", stream=stream.name).encode()).fetchall()


def assert_agrees(stream: Stream) -> None:
    result = reconcile(stream.settings, {stream.name: stream.contract}, full=True)
    assert result.agrees, result.text()


def change(stream: Stream, old: str, new: str) -> None:
    """Edits the contract and provisions the warehouse again."""
    path = stream.settings.contracts / f"{stream.name}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    contracts = load_contracts(stream.settings.contracts)
    schema.provision(stream.settings, contracts)
    stream.contract = contracts[stream.name]


def run(stream: Stream, **selected: object) -> tuple[int, int]:
    """Replays; returns how many records moved to raw, and how many stayed."""
    contracts = {stream.name: stream.contract}
    replays = list(replay(stream.settings, contracts, Selection(stream.name, **selected), "tester"))
    return sum(result.moved for result in replays), sum(result.left for result in replays)


def sluice(stream: Stream, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", "quarantine", *arguments]
    return subprocess.run(
        command, env=stream.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def stream(make_stream: Callable[..., Stream]) -> Stream:
    """Four valid events, three below the minimum (one of which is also below the looser one), and two not JSON."""
    stream = make_stream(partitions=2)
    stream.send([event(n) for n in range(4)])
    stream.send([event(4, reading=-1), event(5, reading=-20), b"nope", b"\xff\xfe"], partition=1)
    stream.send([event(6, reading=-3, read_at="2013-01-03T08:00:00Z")], THIRD_MS, partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    return stream


@pytest.mark.essential
def test_records_that_are_valid_under_a_loosened_contract_move_to_raw_once_at_their_own_offsets(stream: Stream) -> None:
    assert run(stream) == (0, 5)
    change(stream, *LOOSER)
    marks = "select count(*) from ops.stale_dates where stream = '{stream}'"
    before = query(stream, marks)[0][0]

    assert run(stream) == (2, 3)
    after = query(stream, "select xmin::text, * from {raw} order by _partition, _offset")
    assert run(stream) == (0, 3)

    assert query(stream, "select xmin::text, * from {raw} order by _partition, _offset") == after
    assert query(stream, "select event_id, reading, _offset, _event_date::text from {raw} where _partition = 1") == [
        ("e4", -1, 0, "2013-01-01"),
        ("e6", -3, 4, "2013-01-03"),
    ]
    # The record that is below the looser minimum, too, has that as its reason.
    reasons = 'select "offset", reason from ops.quarantine where stream = \'{stream}\' order by "offset"'
    assert query(stream, reasons) == [
        (1, "reading: -20 is below the minimum -10"),
        (2, "not JSON: Expecting value at character 0"),
        (3, "not JSON: not UTF-8 at byte 0"),
    ]
    note = "valid under the current contract"
    assert query(
        stream,
        'select partition, "offset", event_date::text, reason, action, note, done_by from ops.quarantine_log'
        " where stream = '{stream}' order by 1, 2",
    ) == [
        (1, 0, "2013-01-01", "reading: -1 is below the minimum 0", "replayed", note, "tester"),
        (1, 4, "2013-01-03", "reading: -3 is below the minimum 0", "replayed", note, "tester"),
    ]
    assert query(stream, marks) == [(before + 2,)]
    assert_agrees(stream)


def test_only_selected_records_are_replayed(stream: Stream) -> None:
    change(stream, *LOOSER)
    assert run(stream, reason="not JSON") == (0, 2)
    assert run(stream, day=date(2013, 1, 3)) == (1, 0)
    # By the kind of reason, as `list` prints it.
    assert run(stream, reason="reading: … is below") == (1, 1)
    assert_agrees(stream)


def test_a_replay_fills_columns_that_are_new_in_the_contract(stream: Stream) -> None:
    stream.send([event(9, reading=-9, unit="K")])
    stream.land()
    load(stream.settings, stream.contract)
    change(stream, *LOOSER)
    change(stream, "columns:\n", "columns:\n  - {name: unit, type: string, description: Of the reading.}\n")
    assert run(stream, day=FIRST) == (2, 3)
    assert query(stream, "select event_id, unit from {raw} where reading < 0 order by 1") == [("e4", None), ("e9", "K")]
    assert_agrees(stream)


def test_a_replay_updates_the_statistics_of_the_date(stream: Stream) -> None:
    with connect(stream.settings, "loader") as loader:
        loader.execute("delete from ops.dates where stream = %s", (stream.name,))
        loader.execute(
            "insert into ops.dates (stream, event_date, rows, quarantined, late, after_close, version, loaded_at)"
            " values (%s, %s, 4, 4, 0, 0, 1, '2013-01-01Z')",
            (stream.name, FIRST),
        )
    change(stream, *LOOSER)
    run(stream)
    run(stream)
    assert query(
        stream,
        "select d.rows, quarantined, late, version, loaded_at > '2013-01-02Z', pending from ops.date_status d"
        " where stream = '{stream}' and event_date = '2013-01-01'",
    ) == [(5, 3, 0, 2, True, True)]


def test_a_killed_replay_changes_nothing(stream: Stream) -> None:
    change(stream, *LOOSER)
    with connect(stream.settings, "loader") as blocker, connect(stream.settings, "reader") as watcher:
        watcher.autocommit = True
        # The replay blocks where it marks the date as stale.
        blocker.execute("lock table ops.stale_dates in share row exclusive mode")
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "quarantine", "replay"], env=stream.environment, cwd=ROOT
        )
        waiting = "select count(*) from pg_locks where not granted and relation = 'ops.stale_dates'::regclass"
        wait("the replay to mark the date", lambda: watcher.execute(waiting).fetchone() != (0,), alive=process)
        process.kill()
        process.wait()
    assert query(stream, "select count(*) from {raw}") == [(4,)]
    assert query(stream, "select count(*) from ops.quarantine_log where stream = '{stream}'") == [(0,)]
    assert run(stream) == (2, 3)
    assert_agrees(stream)


def test_concurrent_loads_and_reloads_of_the_same_date_lose_and_duplicate_nothing(stream: Stream) -> None:
    stream.send([event(n, reading=-1) for n in range(100, 1100)], partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    stream.send([event(n) for n in range(2000, 3000)])
    stream.land()
    change(stream, *LOOSER)
    with ThreadPoolExecutor(4) as pool:
        replays = [pool.submit(run, stream) for _ in range(2)]
        others = [
            pool.submit(load, stream.settings, stream.contract),
            *(pool.submit(reload, stream.settings, stream.contract, FIRST) for _ in range(2)),
        ]
        for future in others:
            future.result()
        moved = sum(future.result()[0] for future in replays)
    run(stream)
    # Each record leaves quarantine by either a replay or a reload, and has one log entry.
    assert query(stream, "select count(*), count(distinct (_partition, _offset)) from {raw}") == [(2006, 2006)]
    log = "select count(*), count(distinct (partition, \"offset\")) from ops.quarantine_log where stream = '{stream}'"
    entries, distinct = query(stream, log)[0]
    assert entries == distinct >= moved
    assert_agrees(stream)


@pytest.mark.essential
def test_discarded_records_stay_accounted_for_and_are_hidden(stream: Stream) -> None:
    junk = Selection(stream.name, reason="not JSON")
    for note, name in (("", "me"), (" ", "me"), ("test data", "")):
        with pytest.raises(TerminalError, match="needs a note and a name"):
            discard(stream.settings, junk, note, name)
    assert discard(stream.settings, junk, "test data", "me") == 2
    assert discard(stream.settings, junk, "again", "me") == 0

    assert [(group.records, group.kind) for group in groups(stream.settings, Selection(stream.name))] == [
        (2, "reading: … is below the minimum 0"),
        (1, "reading: … is below the minimum 0"),
    ]
    assert show(stream.settings, junk, 9) == []
    everything = Selection(stream.name, reason="not JSON", discarded=True)
    shown = show(stream.settings, everything, 9)
    assert [(record["offset"], record["note"], record["done_by"]) for record in shown] == [
        (2, "test data", "me"),
        (3, "test data", "me"),
    ]
    assert_agrees(stream)
    reload(stream.settings, stream.contract, FIRST)
    assert [group.discarded for group in groups(stream.settings, everything)] == [1, 1]
    assert run(stream) == (0, 3)
    assert_agrees(stream)


def test_a_kind_of_reason_is_discarded_without_others_that_begin_in_the_same_way(stream: Stream) -> None:
    stream.send([event(10, reading="x"), b"{'", b'{"a": 1'], partition=1)
    stream.land()
    load(stream.settings, stream.contract)
    stream_and_note = ("--stream", stream.name, "--note", "noise")
    assert sluice(stream, "discard", *stream_and_note, "--kind", "reading:").stdout == "0 discarded\n"
    below = "reading%3A … is below the minimum 0"
    assert sluice(stream, "discard", *stream_and_note, "--kind", below).stdout == "3 discarded\n"
    command = "not JSON: Expecting %27,%27 delimiter at character …"
    assert sluice(stream, "discard", *stream_and_note, "--kind", command).stdout == "1 discarded\n"
    assert sorted(group.kind for group in groups(stream.settings, Selection(stream.name))) == [
        "not JSON: Expecting property name enclosed in double quotes at character …",
        "not JSON: Expecting value at character …",
        "not JSON: not UTF-8 at byte …",
        "reading: expected int32, found …",
    ]


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
    refused = sluice(stream, "discard", "--stream", stream.name)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--note is missing" in refused.stderr
    done = sluice(stream, "discard", "--stream", stream.name, "--reason", "not JSON", "--note", "noise", "--by", "me")
    assert done.stdout == "2 discarded\n"
    everything = sluice(stream, "list", "--stream", stream.name, "--all").stdout
    assert "1  not JSON: not UTF-8 at byte …  (1 discarded)" in everything
    below = ("--stream", stream.name, "--kind", "reading: … is below the minimum 0")
    assert sluice(stream, "list", *below).stdout.splitlines()[-1] == "3 records in quarantine"
    assert len(sluice(stream, "show", *below).stdout.splitlines()) == 3
    change(stream, *LOOSER)
    done = sluice(stream, "replay", "--stream", stream.name)
    assert done.stdout.splitlines() == [
        f"{stream.name} 2013-01-01: 1 replayed, 1 left",
        f"{stream.name} 2013-01-03: 1 replayed, 0 left",
        "2 replayed, 1 still invalid",
    ]
    for arguments, message in (
        (["list", "--stream", "no.such"], "unknown stream 'no.such'"),
        (["show", "--date", "yesterday"], "'yesterday' is not a date"),
        (["discard", "--note", " "], "discarding needs a note"),
    ):
        done = sluice(stream, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert message in done.stderr
