"""A proxy in front of Postgres that parses the client's messages, and cuts the connection where a test asks for it.

It supports just enough of the wire protocol (version 3, unencrypted): after the start-up, every message has one byte
for its type, four for its length, and a body.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sluice.settings import LOOPBACK

COPY_DATA, COPY_DONE, QUERY, PARSE = b"d", b"c", b"Q", b"P"
_ENCRYPTION_REQUESTS = (80877103, 80877104)
"""The codes of a client's encryption requests. The server responds with one byte; the start-up message follows."""
_SECONDS = 60.0


@dataclass(frozen=True)
class Message:
    """One message from the client."""

    type: bytes
    body: bytes

    def is_statement(self, *words: str) -> bool:
        """Returns whether the message is a statement that starts with the first word and contains the others."""
        if self.type not in (QUERY, PARSE):
            return False
        # The statement's name comes first.
        text = self.body.partition(b"\0")[2] if self.type == PARSE else self.body
        upper = text.decode(errors="replace").upper().lstrip()
        return upper.startswith(words[0]) and all(word in upper for word in words)


@dataclass
class Cut:
    """The message at which a connection is cut. A cut is made once.

    Attributes:
        matches: selects the message.
        forwarded: whether the server gets the message, and has responded, before the client's connection is reset.
        skip: how many matching messages pass first.
        act: called at that point, before the connection is reset: to kill the client, for instance.
        made: how often the cut was made: 0 or 1.
    """

    matches: Callable[[Message], bool]
    forwarded: bool = False
    skip: int = 0
    act: Callable[[], None] | None = None
    made: int = 0

    def hits(self, message: Message) -> bool:
        """Returns whether to cut at this message, and counts it."""
        if self.made or not self.matches(message):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.made += 1
        return True


class PostgresProxy:
    """A context manager that listens on its own port once entered."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._cut: Cut | None = None
        self._listener = socket.create_server((LOOPBACK, 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "PostgresProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread blocked in accept keeps the socket open; shutting the socket down wakes the thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def inject(self, cut: Cut | None) -> None:
        """Replaces the cut; None removes it."""
        self._cut = cut

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # The listener was closed.
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client), contextlib.closing(self._connect()) as server:
            for connection in (client, server):
                connection.settimeout(_SECONDS)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Lost connections are the purpose of this proxy; the other side notices when its socket is closed.
            with contextlib.suppress(OSError, EOFError):
                self._start(client, server)
                responses = _ResponseRelay(server, client)
                responses.start()
                try:
                    while self._forward(client, server, responses):
                        pass
                finally:
                    # Wakes the relay thread, which reads from this socket.
                    with contextlib.suppress(OSError):
                        server.shutdown(socket.SHUT_RDWR)
                    responses.join(_SECONDS)

    def _connect(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self._upstream), timeout=_SECONDS)

    def _start(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            length = _read_exactly(client, 4)
            body = _read_exactly(client, struct.unpack("!i", length)[0] - 4)
            server.sendall(length + body)
            if struct.unpack("!i", body[:4])[0] not in _ENCRYPTION_REQUESTS:
                return
            client.sendall(_read_exactly(server, 1))

    def _forward(self, client: socket.socket, server: socket.socket, responses: "_ResponseRelay") -> bool:
        """Forwards one message; returns whether the connection stays open."""
        type_byte = _read_exactly(client, 1)
        length = _read_exactly(client, 4)
        message = Message(type_byte, _read_exactly(client, struct.unpack("!i", length)[0] - 4))
        cut = self._cut
        if cut is None or not cut.hits(message):
            server.sendall(type_byte + length + message.body)
            return True
        if cut.forwarded:
            responses.mute()
            server.sendall(type_byte + length + message.body)
            if message.type != COPY_DATA:
                responses.received.wait(_SECONDS)
        if cut.act is not None:
            cut.act()
        with contextlib.suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


class _ResponseRelay(threading.Thread):
    """Relays the server's responses to the client until it is muted."""

    def __init__(self, server: socket.socket, client: socket.socket) -> None:
        super().__init__(daemon=True)
        self._server, self._client = server, client
        self._muted = False
        self.received = threading.Event()
        """Set once the server has responded after the relay was muted."""

    def mute(self) -> None:
        """Stops relaying responses to the client."""
        self._muted = True

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._muted:
                    self.received.set()
                else:
                    self._client.sendall(data)
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(min(count - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
