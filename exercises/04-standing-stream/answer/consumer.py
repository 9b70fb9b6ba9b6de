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


def run(bootstrap: str, topic: str, group: str, store: Store) -> None:
    """Writes each reading, and commits the offsets of those that are written."""
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
                store.write(record.partition, record.offset, parse(record.value))
        consumer.commit()


def parse(value: bytes | None) -> dict[str, Any]:
    """Returns the reading in a record's value."""
    fields = json.loads(value)
    return {"sensor": fields["sensor"], "read_at": fields["read_at"], "celsius": fields["celsius"]}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    log.info("the consumer starts")
    run(*sys.argv[1:4], Store(Path(sys.argv[4])))
