"""A proxy in front of Postgres that reads what a client sends, and ends the connection where a test wants it to.

It knows just enough of the frontend's protocol (version 3, without encryption): after the start-up each message is a
byte for its type, four for its length, and a body.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sluice.settings import LOOPBACK

COPY_DATA, COPY_DONE, QUERY, PARSE = b"d", b"c", b"Q", b"P"
_NO_TYPE = (80877103, 80877104)
"""The codes with which a client asks for encryption; the server answers with one byte, and the start-up follows."""
_SECONDS = 60.0


@dataclass(frozen=True)
class Message:
    """One message of the client's."""

    type: bytes
    body: bytes

    def says(self, *words: str) -> bool:
        """Whether it is a statement that begins with the first of these words and holds the others."""
        if self.type not in (QUERY, PARSE):
            return False
        # A named statement's name comes first.
        text = self.body.partition(b"\0")[2] if self.type == PARSE else self.body
        upper = text.decode(errors="replace").upper().lstrip()
        return upper.startswith(words[0]) and all(word in upper for word in words)


@dataclass
class Cut:
    """Where a connection ends.

    Attributes:
        matches: at which message.
        forwarded: whether the server gets that message, and has answered it, before the client's connection is reset.
        skip: as many matching messages go through first.
        act: called at that point, before the connection is reset: to kill the client, for instance.
        made: how often it happened; once is all.
    """

    matches: Callable[[Message], bool]
    forwarded: bool = False
    skip: int = 0
    act: Callable[[], None] | None = None
    made: int = 0

    def here(self, message: Message) -> bool:
        """Whether it is to happen at this message; counts it."""
        if self.made or not self.matches(message):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.made += 1
        return True


class PostgresProxy:
    """Listens on a port of its own once it is entered."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._cut: Cut | None = None
        self._listener = socket.create_server((LOOPBACK, 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "PostgresProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept keeps the socket open: shutting it down wakes the thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def inject(self, cut: Cut | None) -> None:
        """This, and nothing else, from now on."""
        self._cut = cut

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # It was closed.
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client), contextlib.closing(self._connect()) as server:
            for each in (client, server):
                each.settimeout(_SECONDS)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Either side going away is what this proxy is for; the other side sees it by the close.
            with contextlib.suppress(OSError, EOFError):
                self._start(client, server)
                back = _Back(server, client)
                back.start()
                try:
                    while self._pass_on(client, server, back):
                        pass
                finally:
                    # Wakes the other thread, which reads from this socket.
                    with contextlib.suppress(OSError):
                        server.shutdown(socket.SHUT_RDWR)
                    back.join(_SECONDS)

    def _connect(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self._upstream), timeout=_SECONDS)

    def _start(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            length = _exactly(client, 4)
            body = _exactly(client, struct.unpack("!i", length)[0] - 4)
            server.sendall(length + body)
            if struct.unpack("!i", body[:4])[0] not in _NO_TYPE:
                return
            client.sendall(_exactly(server, 1))

    def _pass_on(self, client: socket.socket, server: socket.socket, back: "_Back") -> bool:
        """Deals with one message; returns whether the connection goes on."""
        kind = _exactly(client, 1)
        length = _exactly(client, 4)
        message = Message(kind, _exactly(client, struct.unpack("!i", length)[0] - 4))
        cut = self._cut
        if cut is None or not cut.here(message):
            server.sendall(kind + length + message.body)
            return True
        if cut.forwarded:
            back.mute()
            server.sendall(kind + length + message.body)
            if message.type != COPY_DATA:
                back.heard.wait(_SECONDS)
        if cut.act is not None:
            cut.act()
        with contextlib.suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


class _Back(threading.Thread):
    """Relays what the server says, until it is muted."""

    def __init__(self, server: socket.socket, client: socket.socket) -> None:
        super().__init__(daemon=True)
        self._server, self._client = server, client
        self._muted = False
        self.heard = threading.Event()
        """The server has said something since it was muted."""

    def mute(self) -> None:
        """From now on the client hears nothing."""
        self._muted = True

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._muted:
                    self.heard.set()
                else:
                    self._client.sendall(data)
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(min(count - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
