"""Grades the verifier on tables with planted faults, and the experiment by what its sinks and the lake show."""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

import pyarrow.compute as pc

from exercises.catalogue import load_program
from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.programs import run_program
from exercises.grading.scratch import environment
from exercises.grading.stream import ScratchStream, scratch_stream
from exercises.grading.topic import read_values
from sluice.lake.ranges import read_commit_history
from sluice.lake.reader import LakeReader
from sluice.settings import ROOT

FOLDER = Path(__file__).parent
SECRETS = ("lake_reader_password", "lake_writer_password", "kafka_password")
VERIFY_SECONDS = 30.0
EXPERIMENT_SECONDS = 90.0
SINK_AGE_SECONDS = 1.5

Sent = dict[int, list[bytes]]
"""Values by partition, in the order of offsets."""
SIGKILLED = -9

planted = load_program(FOLDER / "planted.py")


def check(attempt: Attempt) -> None:
    """Runs the verifier on tables, then the experiment on a stream of its own."""
    for name in ("verify.py", "experiment.py"):
        attempt.program(name)
    random = Random(token_hex())  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory(prefix="sluice-check-") as name:
        attempt.tell("running your verifier on tables with planted faults")
        _check_verifier(attempt, Path(name), random)
        attempt.tell("running your experiment")
        _check_experiment(attempt, Path(name), random)


def _check_verifier(attempt: Attempt, folder: Path, random: Random) -> None:
    """Runs the verifier on tables with and without faults.

    Raises:
        WrongAnswer: names the first fault that it does not find, or that is not one.
    """
    count = 3 + random.randrange(3)
    sent = {partition: [random.randbytes(12) for _ in range(20 + random.randrange(20))] for partition in range(count)}
    tables = planted.plant(folder, random, sent)
    given = folder / "tables.json"
    hexadecimal = {partition: [value.hex() for value in values] for partition, values in sent.items()}
    given.write_text(json.dumps({"sent": hexadecimal, "uris": list(tables)}))
    arguments = [str(FOLDER / "run_verifier.py"), str(attempt.folder), str(given), str(folder / "faults.json")]
    found = run_program(arguments, attempt.folder, folder / "faults.json", VERIFY_SECONDS, "verify.py")
    for faults, expected in zip(found, tables.values(), strict=True):
        named = {(kind, partition, offset) for kind, partition, offset in faults}
        for fault in sorted(expected - named):
            raise WrongAnswer(
                f"verify.py does not find {_shown(fault)}, in a table with {_count(expected)}",
                "compare what is in the table with what was sent, in both directions, and not only numbers of rows",
            )
        for fault in sorted(named - expected):
            raise WrongAnswer(
                f"verify.py finds {_shown(fault)}, but the table has that record once and unchanged",
                "the rows of a table have no order",
            )


def _check_experiment(attempt: Attempt, folder: Path, random: Random) -> None:
    """Runs the experiment with an unseen number of partitions and records, and judges what happened.

    Raises:
        WrongAnswer: the sinks did not share the partitions, none died with work in flight, or a record is missing.
    """
    partitions = 3 + random.randrange(4)
    count = 400 + random.randrange(300)
    places = random.choices(range(partitions), k=count)
    values = [(partition, f'{{"number": {random.randrange(10**9)}}}'.encode()) for partition in places]
    given = folder / "records.json"
    given.write_text(json.dumps([(partition, value.hex()) for partition, value in values]))
    sent: Sent = {
        partition: [value for place, value in values if place == partition] for partition in range(partitions)
    }
    contract = FOLDER / "sensors.counted.yaml"
    with scratch_stream(attempt.settings, contract, partitions, SINK_AGE_SECONDS) as stream:
        variables = environment(stream.settings, SECRETS) | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        result = run_program(
            [str(FOLDER / "run_experiment.py"), str(attempt.folder), str(given), str(folder / "result.json")],
            attempt.folder,
            folder / "result.json",
            EXPERIMENT_SECONDS,
            "experiment.py",
            variables,
        )
        _check_sent(stream, sent)
        _check_lake(stream, sent)
        _check_sinks(stream, result)
    if result["faults"]:
        raise WrongAnswer(
            f"the lake has every record once, but verify.py finds {_shown(result['faults'][0])}",
            "the lake's table has more columns and files than the smallest example",
        )


def _check_sent(stream: ScratchStream, sent: Sent) -> None:
    found: Sent = {partition: [] for partition in sent}
    for (partition, _), value in sorted(read_values(stream.settings, stream.topic).items()):
        found[partition].append(value or b"")
    for partition, values in sent.items():
        if found[partition] != values:
            raise WrongAnswer(
                f"partition {partition} of the topic has {len(found[partition])} records, expected the"
                f" {len(values)} that were given, in their order",
                "send every record once",
            )


def _check_lake(stream: ScratchStream, sent: Sent) -> None:
    table = LakeReader(stream.settings, stream.name).rows(pc.scalar(True), ["partition", "offset", "value"])
    rows = table.to_pylist()
    copies = Counter((row["partition"], row["offset"]) for row in rows)
    values = {(row["partition"], row["offset"]): row["value"] for row in rows}
    for partition, expected in sent.items():
        for offset, value in enumerate(expected):
            if copies[partition, offset] != 1 or values[partition, offset] != value:
                raise WrongAnswer(
                    f"when the experiment ended, the lake had partition {partition}, offset {offset}"
                    f" {copies[partition, offset]} times",
                    "wait until the lake has everything: after a kill it takes ten seconds until the group notices",
                )


def _check_sinks(stream: ScratchStream, result: Mapping[str, Any]) -> None:
    """Checks that two sinks shared the partitions, and that one of them died by SIGKILL with work in flight."""
    everything = set(range(stream.partitions))
    codes, killed = result["codes"], [number for number, moment in enumerate(result["killed_at"]) if moment]
    if len(codes) < 2:
        raise WrongAnswer(f"the experiment started {len(codes)} sink, expected two", "use stream.start_sink()")
    if not killed or codes[killed[0]] != SIGKILLED:
        raise WrongAnswer(
            f"no sink was killed: their exit codes are {', '.join(map(str, codes))}",
            "use sink.kill(): a sink that is stopped still commits what it has read",
        )
    victim, moment = killed[0], result["killed_at"][killed[0]]
    before = [partitions for at, partitions in result["samples"] if at < moment]
    if not any(_shares(partitions, everything) for partitions in before):
        raise WrongAnswer(
            f"before the kill, two sinks never shared the {len(everything)} partitions: they had"
            f" {_listed(before[-1] if before else [])}",
            "wait until each sink reads some of the partitions, and together they read all",
        )
    if not _shares(result["at_first_send"], everything):
        raise WrongAnswer(
            f"when the first records were sent, the sinks had the partitions {_listed(result['at_first_send'])}",
            "wait until each sink reads some of the partitions, and together they read all, and send then",
        )
    mine: list[int] = next((parts[victim] for parts in reversed(before) if len(parts) > victim and parts[victim]), [])
    ends = [ends for at, ends in result["sends"] if at <= moment]
    committed = _committed(stream, moment)
    in_flight = [number for number in mine if ends and ends[-1][str(number)] > committed.get(number, 0)]
    if not in_flight:
        raise WrongAnswer(
            f"when the sink was killed, the lake had everything that was sent to its partitions {_listed([mine])}",
            "kill it while records flow: when its partitions have a lag",
        )
    if len(ends) == len(result["sends"]):
        raise WrongAnswer("no record was sent after the kill", "records flow on, whatever happens to a sink")


def _shares(partitions: Sequence[Sequence[int]], everything: set[int]) -> bool:
    """Returns whether at least two sinks have partitions, each its own, and together all."""
    busy = [part for part in partitions if part]
    return len(busy) >= 2 and sorted(number for part in busy for number in part) == sorted(everything)


def _committed(stream: ScratchStream, moment: float) -> dict[int, int]:
    """Returns the lake's next offset of each partition at a moment, in seconds since 1970."""
    table = LakeReader(stream.settings, stream.name).table
    log = table.history()
    times = {commit["version"]: commit["timestamp"] / 1000 for commit in log}
    ranges = read_commit_history(log, table.version()).ranges
    return {entry.partition: entry.next_offset for entry in ranges if times[entry.version] <= moment}


def _listed(partitions: Sequence[Sequence[int]]) -> str:
    return " and ".join(", ".join(map(str, part)) or "none" for part in partitions) or "none"


def _shown(fault: Sequence[Any]) -> str:
    kind, partition, offset = fault
    return f"{kind}: partition {partition}, offset {offset}"


def _count(faults: set[Any]) -> str:
    return f"{len(faults)} faults" if len(faults) > 1 else "one fault"
