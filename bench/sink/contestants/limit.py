"""The upper bound: confluent-kafka reads and discards every record; ``tuned`` sets the sink's queue back-off."""

import sys

from confluent_kafka import Consumer

from bench.sink.contestants.spec import read_spec, reading


def main() -> None:
    """Reads and discards the records."""
    spec = read_spec()
    tuned = {"fetch.queue.backoff.ms": 10} if "tuned" in sys.argv else {}
    options = {"bootstrap.servers": spec.kafka, "group.id": spec.group, "auto.offset.reset": "earliest"}
    consumer = Consumer(options | tuned)
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
