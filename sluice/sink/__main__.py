"""``python -m sluice.sink``: runs the sink until SIGTERM or Ctrl-C."""

import logging
import sys
import threading
import time

import pyarrow as pa
from prometheus_client import CollectorRegistry

from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.kafka.groups import sink_group
from sluice.kafka.topics import kafka_ranges
from sluice.lake.identity import ensure_lake_id
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.probe import require_create_once
from sluice.lake.table import LakeTable
from sluice.service.daemon import run_until_stopped
from sluice.service.endpoint import Check, serve
from sluice.settings import Settings
from sluice.sink import HALTED_PATH
from sluice.sink.consumer import KafkaSource
from sluice.sink.flush_policy import FlushPolicy
from sluice.sink.protocols import Table
from sluice.sink.sink import Sink

log = logging.getLogger(__name__)


def run(settings: Settings, stopping: threading.Event) -> None:
    """Moves records until ``stopping`` is set, then commits the buffered records and leaves the group."""
    contracts = load_contracts(settings.contracts)
    # The sink needs only a topic's name: a stream whose contract has become invalid reaches the lake all the same. A
    # new stream has no topic yet; the launch that creates it restarts the sink.
    known = contracts.known_topics()
    if not known:
        _idle(settings, stopping)
        return
    streams = sorted({topic.stream for topic in kafka_ranges(settings, known, skip_missing=True)})
    if missing := sorted(set(contracts).difference(streams)):
        log.warning("no topic yet: streams=%s", ",".join(missing))
    if not streams:
        raise TerminalError("Kafka has no topic of any contract", "run `make up`, which creates the topics")
    require_create_once(settings)
    options = storage_options(settings, "writer")
    tables: dict[str, Table] = {}
    for stream in streams:
        table = LakeTable(table_uri(settings, stream), options)
        table.create()
        tables[stream] = table
    group = sink_group(settings.lake_bucket, ensure_lake_id(settings))
    source = KafkaSource(settings, {stream: known[stream] for stream in streams}, group)
    sink = Sink(source, tables, time.monotonic, FlushPolicy(age=settings.sink_age_seconds))
    sink.metrics.group.info({"group": group})
    checks = {"/health": sink.health, "/live": sink.liveness, HALTED_PATH: sink.halted}
    serve(settings.sink_host, settings.sink_port, "SLUICE_SINK_PORT", sink.metrics.registry, checks)
    source.subscribe(sink)
    try:
        while not stopping.is_set():
            sink.step()
        sink.flush()
    finally:
        source.close()


def _idle(settings: Settings, stopping: threading.Event) -> None:
    """Waits until the sink is stopped, and says that all is well: without a contract, there is nothing to read."""
    log.info("no contract: nothing to read")
    checks: dict[str, Check] = dict.fromkeys(("/health", "/live", HALTED_PATH), lambda: None)
    serve(settings.sink_host, settings.sink_port, "SLUICE_SINK_PORT", CollectorRegistry(), checks)
    stopping.wait()


def main() -> int:
    """Runs the sink and returns the exit code."""
    # Arrow's own pool does not return freed memory: 30 MiB more at the peak.
    pa.set_memory_pool(pa.system_memory_pool())
    return run_until_stopped("sink", run)


if __name__ == "__main__":
    sys.exit(main())
