"""What the sink shows of itself: Prometheus metrics and its health, on a local port."""

import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, make_wsgi_app

from sluice.errors import TerminalError


class Metrics:
    """Counters and gauges of one sink, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stream, place = ["stream"], ["stream", "partition"]
        self.events = self._make(Counter, "sluice_sink_events", "Records committed to the lake.", stream)
        self.bytes = self._make(Counter, "sluice_sink_bytes", "Bytes of them in memory.", stream)
        self.refused = self._make(Counter, "sluice_sink_refused", "Chunks that another writer was ahead of.", stream)
        self.retries = self._make(Counter, "sluice_sink_retries", "Commits that failed and are tried again.", stream)
        self.flush = self._make(Histogram, "sluice_sink_flush_seconds", "Duration of a commit.", stream)
        self.age = self._make(Gauge, "sluice_sink_batch_age_seconds", "Age of the oldest record not committed.", stream)
        self.buffered = self._make(Gauge, "sluice_sink_buffered_bytes", "Bytes not committed yet.", stream)
        self.lag = self._make(Gauge, "sluice_sink_lag_offsets", "Offsets in Kafka beyond the lake's head.", place)
        self.behind = self._make(Gauge, "sluice_sink_lag_seconds", "Time since the lake had all of Kafka.", place)
        # Memory, CPU time and open files of the process.
        ProcessCollector(registry=self.registry)

    def _make(self, kind: Any, name: str, text: str, labels: list[str]) -> Any:
        return kind(name, text, labels, registry=self.registry)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """A line per scrape would bury the commits' lines."""


def serve(host: str, port: int, metrics: Metrics, health: Callable[[], str | None]) -> WSGIServer:
    """Serves ``/metrics`` and ``/health`` (200, or 503 with what is missing) from a thread of its own.

    Args:
        host: the address to listen on.
        port: 0 for any free one.
        metrics: what to show.
        health: None when all is well, otherwise what is not.

    Raises:
        TerminalError: the port is taken.
    """
    exposition = make_wsgi_app(metrics.registry)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            shown: Iterable[bytes] = exposition(environ, start_response)
            return shown
        missing = health()
        start_response("503 Service Unavailable" if missing else "200 OK", [("Content-Type", "text/plain")])
        return [f"{missing or 'ok'}\n".encode()]

    try:
        server = make_server(host, port, application, handler_class=_Quiet)
    except OSError as error:
        raise TerminalError(
            f"{host}:{port} for the sink's metrics: {error}", "choose another SLUICE_SINK_PORT"
        ) from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
