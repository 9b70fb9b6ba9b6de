"""The weather station's API, with the faults that a grader plans."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from exercises.grading.http_server import http_server, send

Answer = Callable[[BaseHTTPRequestHandler], None]

HANG_SECONDS = 12.0
"""How long a response takes that is far too slow. Then it ends, for a task that waits."""
_PAUSE_SECONDS = 0.25


def document(body: bytes) -> Answer:
    """The readings, as JSON."""
    return lambda handler: send(handler, 200, body)


def page(handler: BaseHTTPRequestHandler) -> None:
    """A page for people, as at a wrong URL."""
    send(handler, 200, b"<!doctype html><title>Weather</title>", "text/html")


def status(code: int) -> Answer:
    """An error, as JSON."""
    return lambda handler: send(handler, code, b'{"detail": "no readings"}')


def close(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True


def cut(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends in the middle of the readings."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"readings": [')
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Nothing is sent."""
    time.sleep(HANG_SECONDS)
    handler.close_connection = True


def drip(handler: BaseHTTPRequestHandler) -> None:
    """The readings arrive byte by byte."""
    body = b"{}".ljust(int(HANG_SECONDS / _PAUSE_SECONDS))
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    for byte in body:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(_PAUSE_SECONDS)


def slow(readings: Any, seconds: float) -> Answer:
    """The readings, byte by byte at first; the last byte comes after some seconds."""
    body = json.dumps(readings).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        end = time.monotonic() + seconds
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        sent = 0
        while (left := end - time.monotonic()) > _PAUSE_SECONDS and sent < len(body) - 1:
            handler.wfile.write(body[sent : sent + 1])
            handler.wfile.flush()
            sent += 1
            time.sleep(_PAUSE_SECONDS)
        time.sleep(max(left, 0))
        handler.wfile.write(body[sent:])

    return answer


class Station:
    """A station that answers as planned, and counts the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self._answers: tuple[Answer, ...] = ()

    def plan(self, *answers: Answer) -> None:
        """Sets the answers to the next requests; the last one is repeated."""
        self.requests, self._answers = 0, answers

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        answer = self._answers[min(self.requests, len(self._answers) - 1)]
        self.requests += 1
        answer(handler)


@contextmanager
def station() -> Iterator[Station]:
    """Yields a station that is up."""
    made = Station()
    with http_server(made._respond) as url:
        made.url = f"{url}/readings"
        yield made
