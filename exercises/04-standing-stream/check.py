"""Grades what the learner found in a topic, and the repaired consumer on another topic, where it is killed."""

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

from exercises.catalogue import load_program
from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.groups import delete_group, evict_members, group_lag
from exercises.grading.programs import Program, running
from exercises.grading.topic import Record, create_topic, read_values, scratch_topic, send_records, topic_exists
from exercises.grading.yaml_answer import read_yaml
from sluice.errors import TerminalError
from sluice.kafka.deletion import delete_topic
from sluice.settings import Settings

FOLDER = Path(__file__).parent
TOPIC, GROUP = "learn.readings", "learn-readings"
LOG, LAG = "consumer.log", "lag.txt"
SECONDS = 120.0
"""How long the consumer may take, with its restarts, also on a busy machine."""
BATCH = 50
"""How many records the consumer of the exercise takes at once."""

Position = tuple[int, int]
"""Partition and offset."""

readings = load_program(FOLDER / "readings.py")


def start(attempt: Attempt) -> None:
    """Makes the topic, runs the consumer twice, and writes its log, its lag and its output beside the answer."""
    settings = attempt.settings
    if (attempt.folder / LOG).exists() and topic_exists(settings, TOPIC):
        return
    clean(attempt)
    random = Random(token_hex())  # noqa: S311 - no secret
    values = _given_values(random)
    create_topic(settings, TOPIC, 2)
    send_records(
        settings, TOPIC, [Record(value, partition, b"reading") for partition in range(2) for value in values[partition]]
    )
    with tempfile.TemporaryDirectory(prefix="sluice-learn-") as name:
        folder, log, lag = Path(name) / "answer", Path(name) / LOG, Path(name) / LAG
        shutil.copytree(FOLDER / "answer", folder)
        where = (_bootstrap(settings), TOPIC, GROUP)
        for _ in range(2):
            with running([str(folder / "consumer.py"), *where, "out"], folder, log) as consumer:
                if not consumer.wait(SECONDS):
                    raise TerminalError("the consumer of the exercise does not stall", "run `make reset N=4`")
            with running([str(folder / "lag.py"), *where], folder, lag) as program:
                program.wait(SECONDS)
        for path in (log, lag):
            (attempt.folder / path.name).write_text(path.read_text().replace(f"{folder}/", ""))
        shutil.copytree(folder / "out", attempt.folder / "out", dirs_exist_ok=True)


def clean(attempt: Attempt) -> None:
    """Deletes the topic and the consumer's group."""
    delete_topic(attempt.settings, TOPIC)
    delete_group(attempt.settings, GROUP)


def _given_values(random: Random) -> list[list[bytes]]:
    """Returns the values of the learner's topic by partition; one of them is not a reading."""
    values = [[json.dumps(readings.reading(random, number)).encode() for number in range(150)] for _ in range(2)]
    # Not at the start of a batch: the last line that the consumer writes is then of the record before it.
    place = random.choice([offset for offset in range(60, 140) if offset % BATCH])
    values[random.randrange(2)][place] = readings.poison(random, 0)["invalid JSON"]
    return values


def check(attempt: Attempt) -> None:
    """Compares the answer with the topic, and what the consumer writes on an unseen topic with what was sent."""
    attempt.program("consumer.py")
    _check_place(attempt)
    attempt.tell("sending other records to a topic of the check")
    topic = f"check.{token_hex(6)}"
    unseen = readings.unseen(Random(topic))  # noqa: S311 - no secret
    with (
        scratch_topic(attempt.settings, topic, readings.PARTITIONS),
        tempfile.TemporaryDirectory(prefix="sluice-check-") as name,
    ):
        records = [Record(value, partition, b"reading") for (partition, _), value in unseen.values.items()]
        send_records(attempt.settings, topic, records)
        folder, out = Path(name) / "answer", Path(name) / "out"
        out.mkdir()
        shutil.copytree(attempt.folder, folder, ignore=shutil.ignore_patterns("out", "*.log"))
        shutil.copy(FOLDER / "answer" / "store.py", folder / "plain_store.py")
        shutil.copy(FOLDER / "faulty_store.py", folder / "store.py")
        (folder / "faults.json").write_text(json.dumps({f"{p}/{o}": kind for (p, o), kind in unseen.faults.items()}))
        attempt.tell("running your consumer, which is killed twice and finds the disk full once")
        try:
            runs = _supervise(attempt.settings, topic, folder, out, unseen)
        finally:
            delete_group(attempt.settings, topic)
        _compare(out, unseen, runs)


def _check_place(attempt: Attempt) -> None:
    answer = read_yaml(attempt, "answer.yaml", {"partition": int, "offset": int})
    if not topic_exists(attempt.settings, TOPIC):
        raise TerminalError(f"Kafka has no topic {TOPIC}", "run `make learn N=4`, which makes it again")
    values = read_values(attempt.settings, TOPIC)
    (place,) = [place for place, value in values.items() if not _is_json(value)]
    if answer["partition"] != place[0]:
        raise WrongAnswer(
            f"answer.yaml: the consumer can read every record of partition {answer['partition']}",
            "see which batch it begins last, each time",
        )
    if answer["offset"] != place[1]:
        found = (values.get((place[0], answer["offset"])) or b"no record").decode()
        raise WrongAnswer(
            f"answer.yaml: at offset {answer['offset']} of partition {place[0]} is {found}",
            "see which offset was written last before the consumer ended",
        )


def _supervise(settings: Settings, topic: str, folder: Path, out: Path, unseen: Any) -> int:
    """Starts the consumer until the topic has no lag, again after each fault; returns how often.

    Raises:
        WrongAnswer: it ends without a fault, or is not done in time.
    """
    deadline = time.monotonic() + SECONDS
    arguments = [str(folder / "consumer.py"), _bootstrap(settings), topic, topic, str(out)]
    fired = -1
    for run in range(1, len(unseen.faults) + 3):
        if len(list(out.glob("fault-*"))) == fired:
            break
        fired = len(list(out.glob("fault-*")))
        evict_members(settings, topic)
        with running(arguments, folder, out / "log") as consumer:
            while consumer.is_running:
                lags = group_lag(settings, topic, topic)
                if not any(lag.records for lag in lags.values()):
                    return run
                if time.monotonic() > deadline:
                    partition, lag = next((number, lag) for number, lag in lags.items() if lag.records)
                    raise WrongAnswer(
                        f"after {SECONDS:.0f} s the consumer has committed {lag.committed} of the {lag.end} offsets"
                        f" of partition {partition}",
                        "it must get past every record, also past the last of a partition",
                    )
                time.sleep(0.2)
    raise _death(consumer, out, unseen)


def _death(consumer: Program, out: Path, unseen: Any) -> WrongAnswer:
    """Returns the error of a consumer that has ended by itself, with the first record that it has not handled."""
    handled = {place for name in ("readings", "rejected") for place, _ in _lines(out / f"{name}.jsonl")}
    waiting = [place for place in unseen.values if place not in handled]
    where = next((f" ({unseen.poison[place]}: {_shown(place)})" for place in waiting if place in unseen.poison), "")
    return WrongAnswer(f"the consumer ends: {consumer.error()}{where}", "one record may cost itself, and nothing else")


def _compare(out: Path, unseen: Any, runs: int) -> None:
    written, rejected = list(_lines(out / "readings.jsonl")), list(_lines(out / "rejected.jsonl"))
    for place, line in written:
        if place not in unseen.values or place in unseen.poison:
            kind = unseen.poison.get(place, "there is no such record")
            raise WrongAnswer(f"readings.jsonl has {_shown(place)}: {kind}", "the exercise defines what a reading is")
        if line["reading"] != unseen.reading(place):
            raise WrongAnswer(
                f"readings.jsonl has {json.dumps(line['reading'])} of {_shown(place)}, expected"
                f" {json.dumps(unseen.reading(place))}",
                "write what the record has, at its own offset",
            )
    for place, line in rejected:
        if place not in unseen.poison:
            raise WrongAnswer(
                f"rejected.jsonl has {_shown(place)}, which is a reading, with the reason {line['reason']}",
                "tell errors of the record from those of the disk, with which the consumer must not continue",
            )
        if not isinstance(line["reason"], str) or not line["reason"].strip():
            raise WrongAnswer(f"rejected.jsonl has no reason for {_shown(place)}", "say what is wrong with the record")
    kept, named = Counter(place for place, _ in written), {place for place, _ in rejected}
    for place in unseen.values:
        if place not in unseen.poison and place not in kept:
            raise WrongAnswer(
                f"{_shown(place)} is a reading, and is not in readings.jsonl{_stopped(place, unseen)}",
                "commit an offset only when everything before it is written",
            )
        if kept[place] > runs:
            raise WrongAnswer(
                f"{_shown(place)} was written {kept[place]} times in {runs} runs", "write each record once in a run"
            )
    for place, kind in unseen.poison.items():
        if place not in named:
            raise WrongAnswer(
                f"{_shown(place)} ({kind}) is not in rejected.jsonl{_stopped(place, unseen)}",
                "a record that cannot be read must not be lost either",
            )


def _stopped(place: Position, unseen: Any) -> str:
    """Returns that the consumer was stopped shortly before a record, if it was."""
    for (partition, offset), kind in unseen.faults.items():
        if partition == place[0] and offset <= place[1]:
            what = "was killed" if kind == "kill" else "found the disk full"
            return f"; the consumer {what} at offset {offset}, and was started again"
    return ""


def _lines(path: Path) -> Iterator[tuple[Position, dict[str, Any]]]:
    for text in path.read_text().splitlines() if path.exists() else ():
        line = json.loads(text)
        place = (line["partition"], line["offset"])
        if not all(isinstance(number, int) for number in place):
            raise WrongAnswer(f"{path.name} has partition {place[0]} and offset {place[1]}", "give Store two integers")
        yield place, line


def _is_json(value: bytes | None) -> bool:
    try:
        json.loads(value or b"")
    except ValueError:
        return False
    return True


def _shown(place: Position) -> str:
    return f"partition {place[0]}, offset {place[1]}"


def _bootstrap(settings: Settings) -> str:
    if settings.kafka_bootstrap:
        raise TerminalError("this exercise needs the platform's own Kafka", "unset SLUICE_KAFKA_BOOTSTRAP")
    return settings.kafka
