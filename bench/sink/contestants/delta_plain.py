"""confluent-kafka with deltalake's writer: no dates, no transactions, offsets committed after the data."""

import pyarrow as pa
from confluent_kafka import Consumer
from deltalake import write_deltalake

from bench.sink.contestants.spec import Spec, read_spec, reading

ROWS = 200_000


def main() -> None:
    """Appends the records to a table, 200,000 at a time."""
    spec = read_spec()
    consumer = Consumer(
        {
            "bootstrap.servers": spec.kafka,
            "group.id": spec.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([spec.topic])
    rows: list[tuple[object, ...]] = []
    seen = 0
    while seen < spec.events:
        messages = consumer.consume(10_000, 1.0)
        if messages and not seen:
            reading()
        seen += len(messages)
        rows += [(m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value()) for m in messages]
        if len(rows) >= ROWS or seen >= spec.events:
            write(spec, rows)
            consumer.commit(asynchronous=False)
            rows.clear()
    consumer.close()


def write(spec: Spec, rows: list[tuple[object, ...]]) -> None:
    """Appends rows unchanged."""
    columns = zip(*rows, strict=True)
    types = [pa.int32(), pa.int64(), pa.timestamp("ms"), pa.binary(), pa.binary()]
    names = ["partition", "offset", "timestamp", "key", "value"]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    options = {
        "aws_access_key_id": spec.user,
        "aws_secret_access_key": spec.password,
        "aws_endpoint": f"http://{spec.minio}",
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_conditional_put": "etag",
    }
    table = pa.Table.from_arrays(arrays, names)
    write_deltalake(f"s3://{spec.bucket}/{spec.prefix}", table, mode="append", storage_options=options)


if __name__ == "__main__":
    main()
