"""``python -m bench.freshness.sender``: sends the year's events at a rate, and writes when some were acknowledged."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from confluent_kafka import KafkaError, Message, Producer

from bench.freshness.sample import Sample
from producers.events import Event
from producers.flights.timeline import Timeline
from sluice.contracts import Contracts, load_contracts
from sluice.kafka.connection import librdkafka_options
from sluice.settings import load_settings

SLICES_PER_SECOND = 10


def main() -> None:
    """Sends for some seconds; writes each sample as a line of JSON once it is acknowledged, and prints the totals."""
    parser = argparse.ArgumentParser(prog="bench.freshness.sender")
    parser.add_argument("rate", type=int, help="events per second")
    parser.add_argument("seconds", type=int)
    parser.add_argument("every", type=int, help="one event in so many is a sample")
    parser.add_argument("out", type=Path, help="the file for the samples")
    options = parser.parse_args()
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    producer = Producer(
        {**librdkafka_options(settings), "enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4"}
    )
    names = {stream: contract.topic_name for stream, contract in contracts.items()}
    started, sent = time.time(), 0
    events = _events(contracts, options.rate * options.seconds)
    with options.out.open("w", buffering=1) as out:
        while part := list(islice(events, options.rate // SLICES_PER_SECOND)):
            for event in part:
                sent += 1
                callback = _callback(out, event) if sent % options.every == 0 else None
                producer.produce(
                    names[event.stream],
                    event.value,
                    event.key,
                    timestamp=event.timestamp,
                    on_delivery=callback,
                )
                producer.poll(0)
            # Waits for this slice's turn, and calls back as soon as something is acknowledged.
            while (wait := started + sent / options.rate - time.time()) > 0:
                producer.poll(wait)
        producer.flush()
    print(json.dumps({"events": sent, "seconds": time.time() - started}))


def _events(contracts: Contracts, count: int) -> Iterator[Event]:
    """Yields the first events of the year, of as many copies of each flight as the number needs."""
    year = date(2013, 1, 1), date(2013, 12, 31)
    copies = -(-count // len(Timeline(contracts, *year)))
    batches = Timeline(contracts, *year, copies=max(1, copies)).batches()
    return islice((event for batch in batches for event in batch), count)


def _callback(out: TextIO, event: Event) -> Callable[[KafkaError | None, Message], Any]:
    def acknowledged(error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            raise RuntimeError(f"not delivered: {error}")
        key = (event.key or b"").decode() if event.stream == "flights.departed" else None
        out.write(json.dumps(Sample(event.stream, partition, offset, time.time(), key)) + "\n")

    return acknowledged


if __name__ == "__main__":
    main()
