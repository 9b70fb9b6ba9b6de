"""Serves a program's metrics and health checks over HTTP. A client that is slow, or never finishes, delays no other."""

import contextlib
import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sluice.errors import TerminalError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
"""Connections open at the same time, each with a thread. A further one closes the oldest, which is the slowest."""
TIMEOUT_SECONDS = 10.0
"""How long a connection may receive and send nothing."""
Check = Callable[[], str | None]
"""Returns None if all is well, otherwise the problem."""
NAMES = ("localhost", "sink", "live")
"""Names by which other programs reach this one: on this machine, and between containers."""


def serve(
    host: str, port: int, setting: str, registry: CollectorRegistry, checks: Mapping[str, Check]
) -> ThreadingHTTPServer:
    """Serves ``/metrics``, and the checks (200, or 503 with the problem), from threads of its own.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        setting: the name of the variable that sets the port, for errors.
        registry: the metrics to expose.
        checks: by path, ``/health`` for example. They are called from several threads.

    Raises:
        TerminalError: the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_SECONDS

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not _is_trusted(self.headers.get("Host"), (*NAMES, host)):
                self._respond(400, "text/plain", b"unknown host\n")
            elif path in checks:
                problem = checks[path]()
                self._respond(503 if problem else 200, "text/plain", f"{problem or 'ok'}\n".encode())
            elif path == "/metrics":
                self._respond(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))
            else:
                self._respond(404, "text/plain", f"try {', '.join(['/metrics', *checks])}\n".encode())

        def _respond(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Logs nothing: one line per scrape would bury the lines of the commits."""

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        raise TerminalError(
            f"cannot serve metrics on {host}:{port}: {error}", f"set {setting} to a free port"
        ) from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    """One thread per connection, and a limited number of connections."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._connections: list[Any] = []
        """The oldest first."""
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread that answers a new connection; at the limit, closes the oldest one."""
        with self._lock:
            self._connections.append(request)
            oldest = self._connections.pop(0) if len(self._connections) > MAX_CONNECTIONS else None
        if oldest is not None:
            # Wakes its thread, which then closes it.
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Closes a connection that has been answered, or was given up."""
        with self._lock:
            if request in self._connections:
                self._connections.remove(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Logs an error of this program. A client that went away is none."""
        if not isinstance(sys.exception(), OSError):
            log.exception("answering %s failed", client_address)


def _is_trusted(header: str | None, names: tuple[str, ...]) -> bool:
    """Returns whether a request names this server by an address or by a name of its own.

    A web page that lets its own name resolve to this machine could otherwise read the answer. Only browsers matter:
    they always send the header.
    """
    if header is None:
        return True
    try:
        name = urlsplit(f"//{header}").hostname or ""
        if name in names:
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
