"""The typical consumer of a capstone project: kafka-python, one object per 1,000 records, auto-commit."""

import io

from kafka import KafkaConsumer
from minio import Minio

from bench.sink.contestants.spec import read_spec, reading

RECORDS = 1_000


def main() -> None:
    """Writes every 1,000 values as an object of JSON lines."""
    spec = read_spec()
    client = Minio(endpoint=spec.minio, access_key=spec.user, secret_key=spec.password, secure=False)
    consumer = KafkaConsumer(
        spec.topic, bootstrap_servers=spec.kafka, group_id=spec.group, auto_offset_reset="earliest"
    )
    lines: list[bytes] = []
    for seen, message in enumerate(consumer, start=1):
        if seen == 1:
            reading()
        lines.append(message.value)
        if len(lines) == RECORDS or seen == spec.events:
            data = b"\n".join(lines)
            name = f"{spec.prefix}/{message.partition}-{message.offset}.jsonl"
            client.put_object(bucket_name=spec.bucket, object_name=name, data=io.BytesIO(data), length=len(data))
            lines.clear()
        if seen == spec.events:
            break
    consumer.close()


if __name__ == "__main__":
    main()
