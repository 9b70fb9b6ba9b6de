"""An HTTP server on the loopback interface that answers as a grader wants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Respond = Callable[[BaseHTTPRequestHandler], None]
"""Reads a request from the handler and writes the response to it. Runs in a thread of its own per request."""


@contextmanager
def http_server(respond: Respond) -> Iterator[str]:
    """Yields the URL of a server, without a slash at its end; it is closed at the end."""

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            try:
                respond(self)
            except ConnectionError:
                # The client did not wait for the end of the response.
                self.close_connection = True

        do_GET = do_POST = _respond  # noqa: N815 - the names that the base class calls

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str = "application/json") -> None:
    """Sends a complete response."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
