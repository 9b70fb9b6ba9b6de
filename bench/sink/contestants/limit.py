"""The limit: confluent-kafka reads every record and forgets it; with ``tuned``, a full queue is refilled at once."""

import sys

from confluent_kafka import Consumer

from bench.sink.contestants.spec import read_spec, reading


def main() -> None:
    """Reads and discards."""
    spec = read_spec()
    tuned = {"fetch.queue.backoff.ms": 10} if "tuned" in sys.argv else {}
    known = {"bootstrap.servers": spec.kafka, "group.id": spec.group, "auto.offset.reset": "earliest"}
    consumer = Consumer(known | tuned)
    consumer.subscribe([spec.topic])
    seen = 0
    while seen < spec.events:
        messages = consumer.consume(10_000, 1.0)
        if messages and not seen:
            reading()
        seen += len(messages)
    consumer.close()


if __name__ == "__main__":
    main()
