"""The loop of a live view: follows its streams from Kafka into Postgres."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from sluice.contracts import Contract, contracts_version, get_contract, load_contracts, topic_names
from sluice.errors import TerminalError, TransientError
from sluice.live.consumer import Consumer
from sluice.live.metrics import Metrics
from sluice.live.store import PartitionKey, Store
from sluice.live.view import Record, View
from sluice.registry import Decoder, decode_or_reason, decoder
from sluice.service.endpoint import serve
from sluice.settings import Settings

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
_MAX_BACKOFF_SECONDS = 15.0


def run(view: View, settings: Settings, stopping: threading.Event) -> None:
    """Keeps a live view up to date until ``stopping`` is set, and serves its metrics.

    Recovers from every fault in the way it starts: it resumes at the offsets stored in Postgres.

    Raises:
        TerminalError: the port of the metrics is in use, or Postgres rejects a statement.
    """
    metrics = Metrics()
    serve(settings.live_host, settings.live_port, "SLUICE_LIVE_PORT", metrics.registry, {})
    failures = 0
    while not stopping.is_set():
        started = time.monotonic()
        try:
            _follow(view, settings, metrics, stopping)
        except TransientError as error:
            failures = 0 if time.monotonic() - started > _MAX_BACKOFF_SECONDS else failures + 1
            metrics.retries.inc()
            wait = min(0.5 * 2**failures, _MAX_BACKOFF_SECONDS)
            log.warning("restarting in %.1f s: %s", wait, error)
            stopping.wait(wait)


def _follow(view: View, settings: Settings, metrics: Metrics, stopping: threading.Event) -> None:
    """Applies records as they arrive; returns when ``stopping`` is set or a contract has changed.

    The records of a stream without a valid contract stay in Kafka. They are read once its contract is valid.

    Raises:
        TransientError: a server is down.
    """
    version = contracts_version(settings.contracts)
    known = load_contracts(settings.contracts)
    contracts: dict[str, Contract] = {}
    decoders: dict[str, Decoder | None] = {}
    for stream in view.streams:
        try:
            decoders[stream] = decoder(get_contract(known, stream), settings)
            contracts[stream] = known[stream]
        except TerminalError as error:
            log.warning("not following %s: %s", stream, error)
    last_heartbeat = -HEARTBEAT_SECONDS
    with (
        Store(settings) as store,
        Consumer(settings, topic_names(contracts), store.group, store.next_offsets, store.rewind) as consumer,
    ):
        while not stopping.is_set():
            records = consumer.poll(0.5)
            if records:
                offsets = _next_offsets(records)
                decoded = [decode_record(record, decoders[record.stream]) for record in records]
                with metrics.apply.time():
                    skipped = store.apply(view, contracts, decoded, offsets)
                consumer.commit_offsets(offsets)
                _count(metrics, records, skipped)
            if time.monotonic() - last_heartbeat >= HEARTBEAT_SECONDS:
                last_heartbeat = time.monotonic()
                store.beat()
                if contracts_version(settings.contracts) != version:
                    log.info("contracts have changed, restarting with the new ones")
                    return


def decode_record(record: Record, decode: Decoder | None) -> Record:
    """Returns a record with its value as JSON; without content if it cannot be decoded, so that the view skips it."""
    if decode is None or record.value is None:
        return record
    event, _ = decode_or_reason(decode, record.value)
    return record._replace(value=event)


def _count(metrics: Metrics, records: Sequence[Record], skipped: Sequence[Record]) -> None:
    """Counts the records of a transaction, per stream."""
    applied = Counter(record.stream for record in records)
    applied.subtract(record.stream for record in skipped)
    for stream, count in applied.items():
        metrics.events.labels(stream).inc(count)
    for record in skipped:
        metrics.skipped.labels(record.stream).inc()
    for stream, timestamp in {record.stream: record.timestamp for record in records}.items():
        metrics.newest.labels(stream).set((timestamp or 0) / 1000)


def _next_offsets(records: Iterable[Record]) -> dict[PartitionKey, int]:
    """Returns the offset after the last record of each partition; a partition's records are in the order of offsets."""
    return {(record.topic_id, record.partition): record.offset + 1 for record in records}
