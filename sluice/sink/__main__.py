"""``python -m sluice.sink``: runs the sink until SIGTERM or Ctrl-C."""

import sys
import threading
import time

import pyarrow as pa

from sluice.contracts import load_contracts
from sluice.daemon import run_until_stopped
from sluice.kafka.groups import sink_group
from sluice.lake.identity import ensure_lake_id
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.probe import require_create_once
from sluice.lake.table import LakeTable
from sluice.settings import Settings
from sluice.sink.consumer import KafkaSource
from sluice.sink.metrics import serve
from sluice.sink.sink import FlushPolicy, Sink, Table


def run(settings: Settings, stopping: threading.Event) -> None:
    """Moves records until ``stopping`` is set, then commits the buffered records and leaves the group."""
    streams = list(load_contracts(settings.contracts))
    require_create_once(settings)
    options = storage_options(settings, "writer")
    tables: dict[str, Table] = {}
    for stream in streams:
        table = LakeTable(table_uri(settings, stream), options)
        table.create()
        tables[stream] = table
    group = sink_group(settings.lake_bucket, ensure_lake_id(settings))
    source = KafkaSource(settings, streams, group)
    sink = Sink(source, tables, time.monotonic, FlushPolicy(age=settings.sink_age_seconds))
    sink.metrics.group.info({"group": group})
    serve(settings.sink_host, settings.sink_port, sink.metrics, sink.health, sink.halted)
    source.subscribe(sink)
    try:
        while not stopping.is_set():
            sink.step()
        sink.flush()
    finally:
        source.close()


def main() -> int:
    """Runs the sink and returns the exit code."""
    # Arrow's own pool does not return freed memory: 30 MiB more at the peak.
    pa.set_memory_pool(pa.system_memory_pool())
    return run_until_stopped("sink", run)


if __name__ == "__main__":
    sys.exit(main())
