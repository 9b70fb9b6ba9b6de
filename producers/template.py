"""A producer to copy and edit: it sends a few events to one stream. Run it with `python -m producers.template`.

The page docs/explanation/producers.md explains its settings.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from kafka import KafkaProducer
from kafka.errors import KafkaError

from sluice.kafka.connection import kafka_python_options
from sluice.settings import load_settings

# Edit: the topic, which has the stream's name unless the contract gives it another one, and the contract's key.
TOPIC = "queues.measured"
KEY = "origin"


def events() -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yields events with the times at which they happened. Edit: read them from where yours are."""
    now = datetime.now(UTC)
    for hours, (origin, minutes) in enumerate([("JFK", 31), ("EWR", 12), ("LGA", 8)]):
        moment = now - timedelta(hours=hours)
        # An id that is made from the event itself is the same when the event is sent again, so it counts once.
        event_id = f"{origin}-{moment:%Y%m%dT%H}"
        yield moment, {"event_id": event_id, "origin": origin, "measured_at": moment.isoformat(), "minutes": minutes}


def main() -> None:
    """Sends all events, and exits with an error unless Kafka has confirmed each of them."""
    settings = load_settings()
    try:
        producer = KafkaProducer(
            **kafka_python_options(settings),  # Kafka's address, and the user if it needs one.
            acks="all",  # An event is confirmed once every replica in sync has it.
            enable_idempotence=True,  # Retries by this producer neither duplicate nor reorder events.
            linger_ms=100,  # Wait a little for more events, and send them together.
            allow_auto_create_topics=False,  # `make up` creates the topic, from the contract.
            bootstrap_timeout_ms=5_000,  # How long to wait for a Kafka that is down,
            max_block_ms=10_000,  # and for a topic that is missing.
        )
        sent = []
        try:
            for moment, event in events():
                key, value = str(event[KEY]).encode(), json.dumps(event).encode()  # The same key keeps the order.
                milliseconds = round(moment.timestamp() * 1_000)  # When it happened, not when it is sent.
                sent.append(producer.send(TOPIC, key=key, value=value, timestamp_ms=milliseconds))
            producer.flush()  # `send` only queues: wait until all are sent.
            for future in sent:
                future.get(timeout=60)  # Raises the error of an event that was not delivered.
        finally:
            producer.close(timeout=5)
    except (KafkaError, OSError) as error:
        hint = f"check `make status`, and that `make up` has created the topic {TOPIC}"
        sys.exit(f"sluice: Kafka at {settings.kafka} did not confirm all events: {error}. Hint: {hint}.")
    print(f"{len(sent)} events confirmed")


if __name__ == "__main__":
    main()
