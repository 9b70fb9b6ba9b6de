"""Probes of pages: whatever a server answers while it starts is a reason to wait, never a crash."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.servers import probes
from sluice.errors import TransientError


class _Page(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_document_is_read(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Page, "body", b'{"status": "ALIVE"}')
    assert probes.http_json("127.0.0.1", port, "/json/") == {"status": "ALIVE"}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/busy", b"{}", "returned status 503"),
        ("/", b"", "no JSON"),
        ("/", b"<html>", "no JSON"),
        ("/", b"\xff", "no JSON"),
    ],
)
def test_anything_else_may_pass(
    port: int, path: str, body: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Page, "body", body)
    with pytest.raises(TransientError, match=message):
        probes.http_json("127.0.0.1", port, path)
