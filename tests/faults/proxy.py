"""An HTTP/1.1 proxy in front of the object store that counts its requests, and fails those that it is told to.

It relays whole requests and whole answers, so that it can say what the store did and what the client knows of it.
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
"""A socket that is silent for so long is given up."""


@dataclass(frozen=True)
class Request:
    """A request's method and path, the query left out."""

    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether it stores an object of a table; the sink's test of the store at its start does not count."""
        return self.method == "PUT" and "/_probe/" not in self.path

    @property
    def commits(self) -> bool:
        """Whether it is what makes a Delta version: a create that the store refuses if there is one already."""
        return self.writes and "/_delta_log/" in self.path and self.path.endswith(".json")


def anything(_: Request) -> bool:
    """Matches every request."""
    return True


@dataclass
class Fault:
    """What happens to the requests that match.

    Attributes:
        name: for the counts.
        matches: which requests.
        delay: seconds before the request is passed on.
        status: answered in place of the store's own answer.
        forwarded: whether the store gets the request all the same; with a status or ``reset`` its answer is lost.
        reset: the client's connection is reset.
        after: called once the store has answered, before the client knows.
        before_close: called once the client has the answer.
        skip: as many matching requests go through first.
        times: it then hits as many, and no more.
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
        """Whether this request is hit; counts it."""
        if not self.matches(request) or self.times <= 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Proxy:
    """Listens on a port of its own once it is entered; ``with Proxy(port) as proxy``."""

    upstream: int
    """The store's port."""
    faults: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """Requests by method."""
    written: int = 0
    """Objects of tables that were to be stored."""
    injected: Counter[str] = field(default_factory=Counter)
    """Faults by name."""

    def __enter__(self) -> "Proxy":
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def inject(self, *faults: Fault) -> None:
        """These, and no others, from now on."""
        with self._lock:
            self.faults = list(faults)

    def heal(self) -> None:
        """Passes everything on."""
        self.inject()

    def up(self) -> None:
        """Listens, on the same port as before."""
        listener = socket.create_server((LOOPBACK, self.port), backlog=128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuses connections, and resets those there are."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._open)
        if listener is not None:
            # A thread that waits in accept keeps the socket open: shutting it down wakes the thread.
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
                # It was closed: the proxy is down.
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
                if not self._pass_on(request, raw, client, store):
                    return
        except OSError:
            # Either side went away, which is what this proxy is for; the other side sees it by the close below.
            return
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()
            if store is not None:
                store.close()

    def _pass_on(self, request: Request, raw: bytes, client: socket.socket, store: socket.socket) -> bool:
        """Deals with one request; returns whether the connection goes on."""
        with self._lock:
            self.requests[request.method] += 1
            self.written += request.writes
            fault = next((fault for fault in self.faults if fault.hits(request)), None)
            if fault is not None:
                self.injected[fault.name] += 1
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        answer = b""
        if fault is None or fault.forwarded or not (fault.status or fault.reset):
            store.sendall(raw)
            message = _read_message(store, b"", bodiless=request.method == "HEAD")
            if message is None:
                return False
            answer, _ = message
        if fault is not None:
            if fault.after is not None:
                fault.after()
            if fault.reset:
                _reset(client)
                return False
            if fault.status:
                answer = _error(fault.status)
        client.sendall(answer)
        if fault is not None and fault.before_close is not None:
            fault.before_close()
        return True


def _read_message(connection: socket.socket, pending: bytes, bodiless: bool) -> tuple[bytes, bytes] | None:
    """A whole request or answer and what was read beyond it; None where the connection ended before one began."""
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
            _more(connection, data)
        return bytes(data), b""
    length = body + int(headers.get(b"content-length", b"0"))
    while len(data) < length:
        _more(connection, data)
    return bytes(data[:length]), bytes(data[length:])


def _more(connection: socket.socket, data: bytearray) -> None:
    more = connection.recv(1 << 16)
    if not more:
        raise ConnectionResetError("the message ended early")
    data += more


def _error(status: int) -> bytes:
    code = {429: "TooManyRequests", 500: "InternalError", 503: "SlowDown"}[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return (
        b"HTTP/1.1 %d Injected\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    ) + body


def _reset(connection: socket.socket) -> None:
    """Closes with RST, so that the other side sees a reset and not an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
