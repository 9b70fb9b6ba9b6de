"""Serves the sink's Prometheus metrics and health check on a local port."""

import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, make_wsgi_app

from sluice.errors import TerminalError
from sluice.kafka.groups import SINK_GROUP_METRIC
from sluice.sink import HEALTHY


class Metrics:
    """The metrics of one sink, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stream, partition = ["stream"], ["stream", "partition"]
        # The dashboard learns from it which group's offsets are the lake's.
        self.group = Info(SINK_GROUP_METRIC, "The consumer group of this lake's sinks.", registry=self.registry)
        self.events = self._make(Counter, "sluice_sink_events", "Records committed to the lake.", stream)
        self.bytes = self._make(Counter, "sluice_sink_bytes", "In-memory bytes of committed records.", stream)
        self.fenced = self._make(
            Counter,
            "sluice_sink_refused",
            "Chunks that were fenced because another writer took over the partition.",
            stream,
        )
        self.retries = self._make(Counter, "sluice_sink_retries", "Failed commits, which are retried.", stream)
        self.flush = self._make(Histogram, "sluice_sink_flush_seconds", "Duration of a commit in seconds.", stream)
        self.age = self._make(Gauge, "sluice_sink_batch_age_seconds", "Age of the oldest uncommitted record.", stream)
        self.buffered = self._make(
            Gauge, "sluice_sink_buffered_bytes", "In-memory bytes of uncommitted records.", stream
        )
        self.lag = self._make(
            Gauge, "sluice_sink_lag_offsets", "Offsets in Kafka that are not in the lake yet.", partition
        )
        self.behind = self._make(
            Gauge, "sluice_sink_lag_seconds", "Time since the lake had every offset in Kafka.", partition
        )
        # Adds memory, CPU time and open files of the process.
        ProcessCollector(registry=self.registry)

    def _make(self, metric_type: Any, name: str, help_text: str, labels: list[str]) -> Any:
        return metric_type(name, help_text, labels, registry=self.registry)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Logs nothing: one line per scrape would bury the lines of the commits."""


def serve(
    host: str,
    port: int,
    metrics: Metrics,
    health: Callable[[], str | None],
    halted: Callable[[], str | None] = lambda: None,
) -> WSGIServer:
    """Serves ``/metrics`` and ``/health`` (200, or 503 with the problem) from a separate thread.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        metrics: the metrics to expose.
        health: returns None if the sink is healthy, otherwise the problem.
        halted: returns why some partitions are not read; None if all are. The sink is healthy: the others go on.

    Raises:
        TerminalError: the port is in use.
    """
    exposition = make_wsgi_app(metrics.registry)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            body: Iterable[bytes] = exposition(environ, start_response)
            return body
        problem = health()
        start_response("503 Service Unavailable" if problem else "200 OK", [("Content-Type", "text/plain")])
        return [f"{problem or halted() or HEALTHY}\n".encode()]

    try:
        server = make_server(host, port, application, handler_class=_QuietHandler)
    except OSError as error:
        raise TerminalError(
            f"cannot serve the sink's metrics on {host}:{port}: {error}", "set SLUICE_SINK_PORT to a free port"
        ) from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
