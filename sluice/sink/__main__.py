"""``python -m sluice.sink``: runs the sink until SIGTERM or Ctrl-C."""

import logging
import signal
import sys
import threading
import time

import pyarrow as pa

from sluice.contracts import load_contracts
from sluice.errors import SluiceError
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.probe import require_create_once
from sluice.lake.table import LakeTable
from sluice.settings import Settings, load_settings
from sluice.sink.consumer import KafkaSource
from sluice.sink.metrics import serve
from sluice.sink.sink import Limits, Sink, Table


def run(settings: Settings, stopping: threading.Event) -> None:
    """Moves records until it is told to stop; then commits what it holds and leaves the group."""
    streams = list(load_contracts(settings.contracts))
    require_create_once(settings)
    options = storage_options(settings, "writer")
    tables: dict[str, Table] = {}
    for stream in streams:
        table = LakeTable(table_uri(settings, stream), options)
        table.create()
        tables[stream] = table
    source = KafkaSource(settings, streams)
    sink = Sink(source, tables, time.monotonic, Limits(age=settings.sink_age_seconds))
    serve(settings.sink_host, settings.sink_port, sink.metrics, sink.health)
    source.subscribe(sink)
    try:
        while not stopping.is_set():
            sink.step()
        sink.flush()
    finally:
        source.close()


def main() -> int:
    """The process's exit code: 0 after a stop that was asked for, 1 after a fault, said in one line."""
    # Arrow's own pool keeps what was freed: 30 MiB more at the peak.
    pa.set_memory_pool(pa.system_memory_pool())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(load_settings(), stopping)
    except SluiceError as error:
        print(f"sluice sink: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
