"""No webhook can fail the task that raises an alert, and its address is logged nowhere."""

import importlib
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sluice.alerts import Change, notify

CHANGE = Change("fire", "a", "smoke")


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A web server that redirects every POST but those to /target, and records the paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.send_response(307 if self.path != "/target" else 200)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/target")
            self.send_header("Content-Length", "1000000")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    paths: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = paths  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "address",
    [
        *("no url secret", "hooks.example.com/secret", "https://", "http:///secret", "ftp://host/secret"),
        *("http://[::1/secret", "http://host:port/secret", f"http://127.0.0.1:{10**30}/secret", "http://xn--/secret"),
        *("http://x\0y/secret", f"http://{'a' * 70}/secret", "http://é..x/secret", "javascript:secret"),
        *("http://user:secret@127.0.0.1:1/", "http://127.0.0.1:1/\ud800secret"),
    ],
)
def test_an_address_that_is_no_url_is_one_line_in_the_log_and_no_error(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        notify([CHANGE, CHANGE], address)
    (line,) = (record.getMessage() for record in caplog.records if "webhook" in record.getMessage())
    assert line.startswith("webhook delivery failed: ")
    assert "Hint: check the host of Airflow's connection alert_webhook" in line
    assert "secret" not in caplog.text


def test_a_redirect_is_not_followed_and_no_line_has_the_address(
    server: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        notify([CHANGE], f"http://127.0.0.1:{server.server_address[1]}/secret")
        notify([CHANGE], f"http://127.0.0.1:{server.server_address[1]}/target")
    assert server.paths == ["/secret", "/target"]  # type: ignore[attr-defined]
    assert [record.getMessage().partition(". Hint")[0] for record in caplog.records if "webhook" in record.message] == [
        "webhook delivery failed: HTTP 307"
    ]
    assert "/secret" not in caplog.text
    assert "/target" not in caplog.text


def test_after_a_server_that_does_not_answer_no_further_message_is_tried(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("sluice.alerts.notify"), "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        notify([CHANGE] * 50, f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert [record.message for record in caplog.records if "webhook" in record.message] == [
        "webhook delivery failed: ReadTimeout. Hint: check the host of Airflow's connection alert_webhook."
    ]
