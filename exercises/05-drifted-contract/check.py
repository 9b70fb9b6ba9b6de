"""Grades the repaired contract on a stream of its own, whose quarantine is replayed, and what was found invalid."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any
from uuid import UUID

from exercises.catalogue import load_program
from exercises.grading.attempt import Attempt, WrongAnswer
from exercises.grading.stream import ScratchStream, learners_contract, scratch_stream
from exercises.grading.topic import Record
from exercises.grading.yaml_answer import read_yaml
from sluice.contracts.loader import read_contract
from sluice.contracts.validation import validate_event
from sluice.errors import TerminalError

FOLDER = Path(__file__).parent
CONTRACT = "gauges.measured.yaml"
OLD = FOLDER / "answer" / CONTRACT
QUARANTINE = "quarantine.jsonl"
PARTITIONS = 2
_DIGITS = 6
"""Decimal digits in which numbers are compared: a level may be a float or a decimal."""

_NOW = datetime(2014, 1, 1, tzinfo=UTC)
"""When the learner's quarantine was written."""

Position = tuple[int, int]
"""Partition and offset."""

measurements = load_program(FOLDER / "measurements.py")


@dataclass(frozen=True)
class Message:
    """A message, and what should become of it."""

    value: bytes
    kind: str
    row: dict[str, Any] | None
    """What the raw table should have of it; None if it is invalid."""


def start(attempt: Attempt) -> None:
    """Writes what the quarantine has of the stream, unless that is there already."""
    file = attempt.folder / QUARANTINE
    if not file.exists():
        file.write_text(_given_quarantine(attempt))


def check(attempt: Attempt) -> None:
    """Loads unseen messages with the old contract, applies the learner's, replays the quarantine, and loads more."""
    contract = learners_contract(attempt, CONTRACT)
    random = Random(token_hex())  # noqa: S311 - no secret
    attempt.tell("loading unseen messages with the old contract")
    with scratch_stream(attempt.settings, OLD, PARTITIONS) as stream:
        early = _ingest(stream, _messages(random, valid=60))
        before = _rows(stream)
        try:
            stream.apply(contract)
        except TerminalError as error:
            raise WrongAnswer(error.message.replace(f"{stream.settings.contracts}/", ""), error.hint) from None
        attempt.tell("replaying the quarantine with your contract, and loading more messages")
        stream.replay()
        late = _ingest(stream, _messages(random, valid=60))
        _compare(stream, early, late, before)
    _check_invalid(attempt)


def _given_quarantine(attempt: Attempt) -> str:
    """Returns the content of the learner's quarantine: always the same on one platform, and another one elsewhere."""
    platform = hashlib.sha256(attempt.settings.secret("postgres_password").encode()).hexdigest()
    lines = _quarantine(_messages(Random(platform), valid=24))  # noqa: S311 - no secret
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def _messages(random: Random, valid: int) -> list[Message]:
    """Returns messages of the old and the new firmware, with each single change and limit, and each invalid kind."""
    fields = [measurements.old(random) for _ in range(valid // 3)]
    fields += [measurements.new(random) for _ in range(valid // 3, valid)]
    fields += [measurements.new(random, {change}) for change in measurements.CHANGES]
    fields += measurements.at_limits(random)
    messages = [Message(json.dumps(item).encode(), "a valid message", measurements.row(item)) for item in fields]
    messages += [Message(value, kind, None) for kind, value in measurements.invalid(random).items()]
    random.shuffle(messages)
    return messages


def _ingest(stream: ScratchStream, messages: Sequence[Message]) -> dict[Position, Message]:
    records = [Record(message.value, number % PARTITIONS) for number, message in enumerate(messages)]
    offsets = stream.ingest(records)
    places = [(record.partition, offset) for record, offset in zip(records, offsets, strict=True)]
    return dict(zip(places, messages, strict=True))


def _rows(stream: ScratchStream) -> dict[Position, dict[str, Any]]:
    return {(row["_partition"], row["_offset"]): row for row in stream.rows()}


def _compare(
    stream: ScratchStream,
    early: Mapping[Position, Message],
    late: Mapping[Position, Message],
    before: Mapping[Position, Mapping[str, Any]],
) -> None:
    """Compares rows and quarantine with what should have become of the messages, of the valid ones first."""
    rows = _rows(stream)
    reasons = {(record.partition, record.offset): record.reason for record in stream.quarantine()}
    for place, message in sorted({**early, **late}.items(), key=lambda item: item[1].row is None):
        text = message.value.decode()
        if place in before:
            expected = {name: value for name, value in before[place].items() if not name.startswith("_")}
            _compare_row(f"the message {text}, which was loaded before the change,", rows[place], expected)
        elif message.row is None and place in rows:
            raise WrongAnswer(
                f"{text} is in the raw table, although {message.kind}", "a contract that accepts it is too loose"
            )
        elif message.row is not None and place not in rows:
            raise WrongAnswer(
                f"{text} is valid, and still in quarantine: {reasons[place]}",
                "read the release notes, and what a contract can say in docs/reference/contracts.md",
            )
        elif message.row is not None:
            _compare_row(f"the message {text}", rows[place], message.row)


def _compare_row(name: str, row: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for column, value in expected.items():
        if column not in row:
            raise WrongAnswer(f"the raw table has no column {column}", "name the columns as the exercise does")
        if _comparable(row[column]) != _comparable(value):
            raise WrongAnswer(
                f"{name} has {column} {_shown(row[column])} in the raw table, expected {_shown(value)}",
                "think of what the value means, not only of whether it is accepted",
            )


def _quarantine(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Returns the lines that ``make quarantine A=show`` prints of the messages that the old contract refuses."""
    contract, topic, now = read_contract(OLD), str(UUID(int=0)), _NOW
    lines = []
    for number, message in enumerate(messages):
        _, reason = validate_event(contract, message.value, now)
        if reason:
            lines.append(
                {
                    "stream": contract.stream,
                    "topic_id": topic,
                    "partition": number % PARTITIONS,
                    "offset": number // PARTITIONS,
                    "event_date": now.date().isoformat(),
                    "timestamp": now.isoformat(),
                    "key": None,
                    "value": message.value.decode(),
                    "reason": reason,
                    "loaded_at": now.isoformat(),
                }
            )
    return sorted(lines, key=lambda line: (line["partition"], line["offset"]))


def _check_invalid(attempt: Attempt) -> None:
    answer = read_yaml(attempt, "answer.yaml", {"invalid": object})["invalid"]
    named = {str(place).strip() for place in answer} if isinstance(answer, list) else {str(answer)}
    contract, known = read_contract(attempt.reference / CONTRACT), set()
    given = _given_quarantine(attempt)
    if attempt.read(QUARANTINE) != given:
        raise WrongAnswer(f"{QUARANTINE} was changed", "delete it; `make learn N=5` writes it again")
    for record in map(json.loads, given.splitlines()):
        place, value = f"{record['partition']}/{record['offset']}", record["value"].encode()
        known.add(place)
        valid, _ = validate_event(contract, value, datetime.now(UTC))
        if valid and place in named:
            raise WrongAnswer(
                f"answer.yaml: {place} is valid: {record['value']}", "some version of the firmware sends such messages"
            )
        if not valid and place not in named:
            raise WrongAnswer(
                f"answer.yaml: {place} is missing: no version allows {record['value']}",
                "it remains in quarantine after a replay with the right contract",
            )
    for place in sorted(named - known):
        raise WrongAnswer(f"answer.yaml: {QUARANTINE} has no record {place}", "write partition/offset, such as 0/3")


def _comparable(value: object) -> object:
    return round(Decimal(str(value)), _DIGITS) if isinstance(value, int | float | Decimal) else value


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
