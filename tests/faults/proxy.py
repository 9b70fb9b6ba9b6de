"""An HTTP/1.1 proxy in front of the object store that counts requests and injects faults.

It relays whole requests and whole responses, so it is known what the store did and what the client learned of it.
"""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice.settings import LOOPBACK

_HEAD_END = b"\r\n\r\n"
_SECONDS = 60.0
"""The timeout of a silent socket."""


@dataclass(frozen=True)
class Request:
    """A request's method and path, without the query."""

    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether the request stores an object of a table; the sink's probe at its start does not count."""
        return self.method == "PUT" and "/_probe/" not in self.path

    @property
    def commits(self) -> bool:
        """Whether the request creates a Delta version, which the store rejects if the version already exists."""
        return self.writes and "/_delta_log/" in self.path and self.path.endswith(".json")


def anything(_: Request) -> bool:
    """Matches every request."""
    return True


@dataclass
class Fault:
    """A fault to inject into matching requests.

    Attributes:
        name: the name in the counts.
        matches: selects the requests.
        delay: seconds before the request is forwarded.
        status: the status to return instead of the store's response.
        forwarded: whether the store gets the request nevertheless; with ``status`` or ``reset`` its response is lost.
        reset: whether to reset the client's connection.
        after: called once the store has responded, before the client gets the response.
        before_close: called once the client has the response.
        skip: how many matching requests pass first.
        times: how many matching requests are then hit.
    """

    name: str
    matches: Callable[[Request], bool] = anything
    delay: float = 0.0
    status: int = 0
    forwarded: bool = False
    reset: bool = False
    after: Callable[[], None] | None = None
    before_close: Callable[[], None] | None = None
    skip: int = 0
    times: int = 1 << 30

    def hits(self, request: Request) -> bool:
        """Returns whether the fault hits this request, and counts it."""
        if not self.matches(request) or self.times <= 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Proxy:
    """A context manager that listens on its own port once entered: ``with Proxy(upstream) as proxy``."""

    upstream: int
    """The store's port."""
    port: int = 0
    """The proxy's own port; 0 for any free one."""
    faults: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """Requests by method."""
    written: int = 0
    """Requests to store an object of a table."""
    injected: Counter[str] = field(default_factory=Counter)
    """Faults by name."""

    def __enter__(self) -> "Proxy":
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def inject(self, *faults: Fault) -> None:
        """Replaces the faults to inject."""
        with self._lock:
            self.faults = list(faults)

    def heal(self) -> None:
        """Removes all faults."""
        self.inject()

    def up(self) -> None:
        """Listens, on the same port as before if there was one."""
        listener = socket.create_server((LOOPBACK, self.port), backlog=128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuses new connections and resets the open ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._open)
        if listener is not None:
            # A thread blocked in accept keeps the socket open; shutting the socket down wakes the thread.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            _reset(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                # The listener was closed: the proxy is down.
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(_SECONDS)
            with self._lock:
                if self._listener is not listener:
                    _reset(client)
                    return
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        store: socket.socket | None = None
        try:
            store = socket.create_connection((LOOPBACK, self.upstream), timeout=_SECONDS)
            store.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pending = b""
            while True:
                message = _read_message(client, pending, bodiless=False)
                if message is None:
                    return
                raw, pending = message
                method, target = raw.split(b" ", 2)[:2]
                request = Request(method.decode(), target.decode().partition("?")[0])
                if not self._forward(request, raw, client, store):
                    return
        except OSError:
            # Lost connections are the purpose of this proxy; the other side notices when its socket is closed below.
            return
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()
            if store is not None:
                store.close()

    def _forward(self, request: Request, raw: bytes, client: socket.socket, store: socket.socket) -> bool:
        """Forwards one request; returns whether the connection stays open."""
        with self._lock:
            self.requests[request.method] += 1
            self.written += request.writes
            fault = next((fault for fault in self.faults if fault.hits(request)), None)
            if fault is not None:
                self.injected[fault.name] += 1
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        response = b""
        if fault is None or fault.forwarded or not (fault.status or fault.reset):
            store.sendall(raw)
            message = _read_message(store, b"", bodiless=request.method == "HEAD")
            if message is None:
                return False
            response, _ = message
        if fault is not None:
            if fault.after is not None:
                fault.after()
            if fault.reset:
                _reset(client)
                return False
            if fault.status:
                response = _error_response(fault.status)
        client.sendall(response)
        if fault is not None and fault.before_close is not None:
            fault.before_close()
        return True


def _read_message(connection: socket.socket, pending: bytes, bodiless: bool) -> tuple[bytes, bytes] | None:
    """Returns a whole request or response and the bytes read beyond it; None if the connection ended before it."""
    data = bytearray(pending)
    while (end := data.find(_HEAD_END)) < 0:
        more = connection.recv(1 << 16)
        if not more:
            return None
        data += more
    body = end + len(_HEAD_END)
    lines = bytes(data[:end]).split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if lines[0].startswith(b"HTTP/") and lines[0].split()[1] in (b"204", b"304"):
        bodiless = True
    if bodiless:
        return bytes(data), b""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        while not data.endswith(b"0\r\n\r\n"):
            _receive(connection, data)
        return bytes(data), b""
    length = body + int(headers.get(b"content-length", b"0"))
    while len(data) < length:
        _receive(connection, data)
    return bytes(data[:length]), bytes(data[length:])


def _receive(connection: socket.socket, data: bytearray) -> None:
    more = connection.recv(1 << 16)
    if not more:
        raise ConnectionResetError("the message ended early")
    data += more


def _error_response(status: int) -> bytes:
    code = {429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return (
        b"HTTP/1.1 %d Injected\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    ) + body


def _reset(connection: socket.socket) -> None:
    """Closes with RST, so that the other side sees a reset rather than an orderly end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
