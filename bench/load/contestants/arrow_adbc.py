"""The shortest loader of the same lake: deltalake, pyarrow's JSON reader and ADBC's ingest, in one transaction."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.json as pj
from adbc_driver_postgresql import dbapi
from deltalake import DeltaTable

from bench.load.contestants.spec import READING, Spec

_TIME = pa.timestamp("us", tz="UTC")
_EVENT = pa.schema(
    [
        *((name, pa.string()) for name in ("event_id", "flight_id", "carrier")),
        ("flight_number", pa.int32()),
        *((name, pa.string()) for name in ("tail_number", "origin", "dest")),
        ("distance_miles", pa.int32()),
        ("scheduled_at", _TIME),
        ("departed_at", _TIME),
        ("departure_delay_minutes", pa.int32()),
    ]
)
_RECORD = ("topic_id", "partition", "offset", "timestamp", "event_date")


def main() -> None:
    """Appends all events to the raw table."""
    spec = Spec.read()
    print(READING, flush=True)
    lake = DeltaTable(spec.lake, storage_options=json.loads(spec.storage)).to_pyarrow_dataset()
    schema = pa.schema(
        [*_EVENT, *(lake.schema.field(name).with_name(f"_{name}") for name in _RECORD), ("_loaded_at", _TIME)]
    )
    rows = pa.RecordBatchReader.from_batches(schema, _rows(lake.to_batches(columns=[*_RECORD, "value"]), schema))
    with dbapi.connect(spec.dsn) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(spec.table, rows, mode="append", db_schema_name="raw")
        connection.commit()


def _rows(records: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    now = pa.scalar(datetime.now(UTC), _TIME)
    for batch in records:
        lines = b"\n".join(batch["value"].to_pylist())
        events = pj.read_json(
            pa.BufferReader(lines),
            read_options=pj.ReadOptions(block_size=len(lines) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_EVENT),
        ).combine_chunks()
        columns = [*(column.chunk(0) for column in events.columns), *(batch[name] for name in _RECORD)]
        columns.append(pa.repeat(now, batch.num_rows))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


if __name__ == "__main__":
    main()
