"""Records of the sensor network: readings, and records of other kinds that a consumer cannot read."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

SENSORS = ("attic", "cellar", "garden", "kitchen", "roof")
PARTITIONS = 3
Position = tuple[int, int]
"""Partition and offset."""

_FIRST = datetime(2013, 1, 1, tzinfo=UTC)


def reading(random: Random, number: int) -> dict[str, Any]:
    """Returns the fields of a reading; some sensors send one more."""
    fields = {
        "sensor": random.choice(SENSORS),
        "read_at": (_FIRST + timedelta(seconds=10 * number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "celsius": random.choice([random.randrange(-10, 30), round(random.uniform(-10, 30), 1)]),
    }
    return fields if random.random() < 0.8 else {**fields, "battery": random.randrange(100)}


def poison(random: Random, number: int) -> dict[str, bytes | None]:
    """Returns one record of each kind that is not a reading, by kind."""
    fields = reading(random, number)
    name = random.choice(["sensor", "read_at", "celsius"])
    text = json.dumps(fields)
    return {
        "invalid JSON": text[: random.randrange(1, len(text))].encode(),
        "not UTF-8": json.dumps({**fields, "sensor": "k\xfcche"}, ensure_ascii=False).encode("latin-1"),
        "no value": None,
        f"no {name}": json.dumps({key: value for key, value in fields.items() if key != name}).encode(),
        f"{name} is null": json.dumps({**fields, name: None}).encode(),
        "celsius is a text": json.dumps({**fields, "celsius": str(fields["celsius"])}).encode(),
        "celsius is true": json.dumps({**fields, "celsius": True}).encode(),
        "sensor is a number": json.dumps({**fields, "sensor": random.randrange(100)}).encode(),
        "a list": json.dumps([fields]).encode(),
    }


@dataclass
class Unseen:
    """Records for a check, by partition and offset."""

    values: dict[Position, bytes | None] = field(default_factory=dict)
    poison: dict[Position, str] = field(default_factory=dict)
    """The kind of each record that is not a reading."""
    faults: dict[Position, str] = field(default_factory=dict)
    """What happens to the consumer when it handles a record: ``kill``, or ``full``, an error of the disk."""

    def reading(self, place: Position) -> dict[str, Any]:
        """Returns what a consumer writes of a record that is a reading."""
        fields = json.loads(self.values[place] or b"")
        return {name: fields[name] for name in ("sensor", "read_at", "celsius")}


def unseen(random: Random) -> Unseen:
    """Returns records of every kind, also as the first, the last and two adjacent ones of a partition."""
    result = Unseen()
    kinds = list(poison(random, 0).items())
    random.shuffle(kinds)
    for partition in range(PARTITIONS):
        count = 70 + random.randrange(20)
        values = [json.dumps(reading(random, number)).encode() for number in range(count)]
        middle = random.randrange(5, count - 5)
        # From the last to the first: an insertion moves all that follows.
        places = ([count, middle, 0], [middle, middle, 0], [count, middle, middle])[partition]
        here: list[tuple[str | None, bytes | None]] = [(None, value) for value in values]
        for offset, kind in zip(places, kinds[partition::PARTITIONS], strict=True):
            here.insert(offset, kind)
        for offset, (name, value) in enumerate(here):
            result.values[partition, offset] = value
            if name is not None:
                result.poison[partition, offset] = name
    for partition, fault in enumerate(random.sample(["kill", "full"], 2)):
        fit = [place for place in result.values if place[0] == partition and place not in result.poison]
        result.faults[random.choice(fit[10:-10])] = fault
    result.faults[random.choice(list(result.poison))] = "kill"
    return result
