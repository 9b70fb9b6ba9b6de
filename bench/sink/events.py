"""The input: departures as the contract ``flights.departed`` has them, drawn with a seed, over many event dates."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

from confluent_kafka import Producer

FIRST_MS = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
POOL = 4_096
"""So many different flights there are; numbers, times and delays differ in each event."""


def events(
    count: int, dates: int, ordered: bool, late: float = 0.0, seed: int = 4
) -> Iterator[tuple[bytes, bytes, int]]:
    """Keys, values and timestamps in milliseconds.

    Args:
        count: how many.
        dates: over how many event dates.
        ordered: whether they come date after date, as in a replay; else each event is of another date than the one
            before, so that whatever is written at once touches all dates.
        late: the share of events that are of one to three dates earlier than their place.
        seed: the same seed gives the same events.
    """
    draw = random.Random(seed)  # noqa: S311
    airports = ["EWR", "JFK", "LGA"]
    codes = ["".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)) for _ in range(100)]
    flights = [
        (draw.choice(["UA", "B6", "EV", "DL", "AA", "MQ", "US"]), draw.randint(1, 8_500), draw.randint(10_000, 99_999))
        for _ in range(POOL)
    ]
    routes = [
        f'"origin":"{draw.choice(airports)}","dest":"{draw.choice(codes)}","distance_miles":' for _ in range(POOL)
    ]
    each = -(-count // dates)
    random_bits = draw.getrandbits
    for number in range(count):
        day = number // each if ordered else number % dates
        if late and draw.random() < late:
            day = max(0, day - draw.randint(1, 3))
        bits = random_bits(48)
        carrier, flight, tail = flights[bits & 4_095]
        # No delay leads past midnight, which would be no time of that date.
        minute, delay = (bits >> 12) % 1_376, (bits >> 24) & 63
        left = minute + delay
        date = f"2013-01-{day + 1:02d}" if day < 31 else f"2013-02-{day - 30:02d}"
        key = f"{carrier}{flight}-{day:02d}T{number * 0x9E3779B1 & 0xFFFFFF:06x}"
        value = (
            f'{{"event_id":"{key}","flight_id":"{key}","carrier":"{carrier}","flight_number":{flight},'
            f'"tail_number":"N{tail}",{routes[(bits >> 30) & 4_095]}{200 + (bits >> 18 & 2_047)},'
            f'"scheduled_at":"{date}T{minute // 60:02d}:{minute % 60:02d}:00Z",'
            f'"departed_at":"{date}T{left // 60:02d}:{left % 60:02d}:00Z","departure_delay_minutes":{delay}}}'
        )
        yield key.encode(), value.encode(), FIRST_MS + day * DAY_MS + left * 60_000


def produce(kafka: str, topic: str, partitions: int, records: Iterator[tuple[bytes, bytes, int]]) -> int:
    """Sends records to the partitions in turn, with LZ4; returns the values' bytes.

    The turns are of 24 records and not of one, so that no partition gets only certain dates.

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
                producer.produce(topic, value, key, number // 24 % partitions, timestamp=timestamp)
                break
            except BufferError:
                producer.poll(0.05)
        size += len(value)
        if number % 10_000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    if left:
        raise RuntimeError(f"{left} records were not delivered")
    return size
