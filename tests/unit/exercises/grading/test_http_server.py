"""The graders' HTTP server: its answers, and that it ends although a client waits or has gone."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from exercises.grading.http_server import http_server, send


def echo(handler: BaseHTTPRequestHandler) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    send(handler, 404 if handler.path == "/none" else 200, handler.command.encode() + body)


def test_a_request_gets_the_planned_answer() -> None:
    with http_server(echo) as url:
        assert urlopen(f"{url}/a", timeout=5).read() == b"GET"  # noqa: S310 - the server is ours
        assert urlopen(Request(url, b"{}"), timeout=5).read() == b"POST{}"  # noqa: S310
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{url}/none", timeout=5)  # noqa: S310
    with pytest.raises(OSError):
        urlopen(url, timeout=5)  # noqa: S310


def test_the_server_does_not_wait_for_a_response_that_hangs() -> None:
    released = threading.Event()
    with http_server(lambda _: released.wait(120)) as url:
        port = int(url.rsplit(":", 1)[1])
        client = socket.create_connection(("127.0.0.1", port), 5)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 60
    client.close()
    released.set()
