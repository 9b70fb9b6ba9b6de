"""The input: random departures that are valid by the contract ``flights.departed``, over many event dates."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from confluent_kafka import Producer

FIRST_MS = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
POOL = 4_096
"""Number of distinct flights; ids, times and delays differ in every event."""
_TURN = 24
"""Consecutive events in the same partition, so that every partition gets all dates."""
_SPREAD, _ID_SIZE = 0x9E3779B1, 1 << 24
"""An id ends with the event's number, times the one, modulo the other: ids are unique and in no order."""

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def events(
    count: int, dates: int, ordered: bool, late: float = 0.0, seed: int = 4
) -> Iterator[tuple[bytes, bytes, int]]:
    """Yields keys, values and timestamps in milliseconds.

    Args:
        count: the number of events.
        dates: the number of event dates.
        ordered: whether the events are in order of date, as in a replay; otherwise consecutive events have different
            dates, so that every write contains all dates.
        late: the share of events that arrive one to three dates late.
        seed: the seed of the random numbers.
    """
    rng = random.Random(seed)  # noqa: S311
    airports = ["EWR", "JFK", "LGA"]
    codes = ["".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)) for _ in range(100)]
    flights = [
        (rng.choice(["UA", "B6", "EV", "DL", "AA", "MQ", "US"]), rng.randint(1, 8_500), rng.randint(10_000, 99_999))
        for _ in range(POOL)
    ]
    routes = [f'"origin":"{rng.choice(airports)}","dest":"{rng.choice(codes)}","distance_miles":' for _ in range(POOL)]
    events_per_date = -(-count // dates)
    random_bits = rng.getrandbits
    for number in range(count):
        day = number // events_per_date if ordered else number % dates
        if late and rng.random() < late:
            day = max(0, day - rng.randint(1, 3))
        bits = random_bits(48)
        carrier, flight, tail = flights[bits & 4_095]
        # No delay crosses midnight, so the departure has the same date.
        minute, delay = (bits >> 12) % 1_376, (bits >> 24) & 63
        departure = minute + delay
        date = f"2013-01-{day + 1:02d}" if day < 31 else f"2013-02-{day - 30:02d}"
        key = f"{carrier}{flight}-{day:02d}T{number * _SPREAD % _ID_SIZE:06x}"
        value = (
            f'{{"event_id":"{key}","flight_id":"{key}","carrier":"{carrier}","flight_number":{flight},'
            f'"tail_number":"N{tail}",{routes[(bits >> 30) & 4_095]}{200 + (bits >> 18 & 2_047)},'
            f'"scheduled_at":"{date}T{minute // 60:02d}:{minute % 60:02d}:00Z",'
            f'"departed_at":"{date}T{departure // 60:02d}:{departure % 60:02d}:00Z","departure_delay_minutes":{delay}}}'
        )
        yield key.encode(), value.encode(), FIRST_MS + day * DAY_MS + departure * 60_000


def produce(kafka: str, topic: str, partitions: int, records: Iterator[tuple[bytes, bytes, int]]) -> int:
    """Sends records to the partitions in turn, with LZ4; returns the total size of the values in bytes.

    Raises:
        RuntimeError: a record was not delivered.
    """
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 512 << 10,
            "queue.buffering.max.kbytes": 128 << 10,
            "enable.idempotence": True,
        }
    )
    size = 0
    for number, (key, value, timestamp) in enumerate(records):
        while True:
            try:
                producer.produce(topic, value, key, number // _TURN % partitions, timestamp=timestamp)
                break
            except BufferError:
                producer.poll(0.05)
        size += len(value)
        if number % 10_000 == 0:
            producer.poll(0)
    undelivered = producer.flush(120)
    if undelivered:
        raise RuntimeError(f"{undelivered} records were not delivered")
    return size


def numbers(digits: Numbers) -> Numbers:
    """Returns the numbers of events, from 0, by the hexadecimal digits at the end of their ids."""
    return digits * pow(_SPREAD, -1, _ID_SIZE) % _ID_SIZE


def offsets(events: Numbers, partitions: int) -> tuple[Numbers, Numbers]:
    """Returns the partitions and offsets at which ``produce`` has sent events, by their numbers."""
    turn = events // _TURN
    return turn % partitions, turn // partitions * _TURN + events % _TURN
