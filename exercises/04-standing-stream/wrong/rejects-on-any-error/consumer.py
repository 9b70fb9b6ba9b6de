"""Copies the readings of a sensor network from Kafka to a file, for as long as it runs.

    consumer.py BOOTSTRAP TOPIC GROUP FOLDER

A supervisor starts it again whenever it ends.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer
from store import Store

log = logging.getLogger("consumer")


class NotAReadingError(Exception):
    """A record is not a reading, and never will be. The message is the reason."""


def run(bootstrap: str, topic: str, group: str, store: Store) -> None:
    """Writes each reading, rejects every other record, and commits the offsets of those that are done."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        # After a restart it is the same member: the group need not wait until the dead one's session ends.
        group_instance_id="consumer",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=50,
    )
    while True:
        for partition, records in consumer.poll(timeout_ms=500).items():
            log.info("partition %d: offsets %d to %d", partition.partition, records[0].offset, records[-1].offset)
            for record in records:
                try:
                    store.write(record.partition, record.offset, parse(record.value))
                except Exception as error:  # noqa: BLE001 - this is what is wrong
                    store.reject(record.partition, record.offset, str(error), record.value)
        consumer.commit()


def parse(value: bytes | None) -> dict[str, Any]:
    """Returns the reading in a record's value.

    Raises:
        NotAReadingError: there is none.
    """
    if value is None:
        raise NotAReadingError("no value")
    try:
        fields = json.loads(value.decode("utf-8"))
    except ValueError as error:
        raise NotAReadingError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise NotAReadingError("not an object")
    for name in ("sensor", "read_at"):
        if not isinstance(fields.get(name), str):
            raise NotAReadingError(f"{name}: not a text")
    # In Python, True is an integer.
    if isinstance(fields.get("celsius"), bool) or not isinstance(fields.get("celsius"), int | float):
        raise NotAReadingError("celsius: not a number")
    return {name: fields[name] for name in ("sensor", "read_at", "celsius")}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    log.info("the consumer starts")
    run(*sys.argv[1:4], Store(Path(sys.argv[4])))
