"""A proxy in front of the broker in which either direction can be lost, while the other one still arrives."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from sluice.settings import LOOPBACK

REQUESTS, RESPONSES = "requests lost", "responses lost"


@dataclass
class BrokerProxy:
    """A context manager that listens on its port once entered.

    What is lost is kept and sent on once the loss is over, as TCP sends a lost packet again.
    """

    port: int
    upstream: int
    relayed: int = 0
    """Bytes that have arrived in both directions."""
    _open: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> "BrokerProxy":
        self._changed = threading.Condition()
        self._lost = ""
        self._listener = socket.create_server((LOOPBACK, self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread blocked in accept keeps the socket open; shutting the socket down wakes the thread.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            connections = list(self._open)
        for connection in connections:
            _shut(connection)
        self.lose("")

    def lose(self, direction: str) -> None:
        """Loses everything in one direction; an empty one ends the loss."""
        with self._changed:
            self._lost = direction
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # The listener was closed.
                return
            try:
                broker = socket.create_connection((LOOPBACK, self.upstream), timeout=10)
            except OSError:
                # The broker is down.
                client.close()
                continue
            broker.settimeout(None)
            with self._changed:
                self._open |= {client, broker}
            for source, target, direction in ((client, broker, REQUESTS), (broker, client, RESPONSES)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._relay, args=(source, target, direction), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        # Lost connections are the purpose of this proxy; the other side notices when its socket is shut.
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._changed:
                    self._changed.wait_for(lambda: self._lost != direction)
                    self.relayed += len(data)
                target.sendall(data)
        _shut(source)
        _shut(target)
        with self._changed:
            self._open.discard(source)
        source.close()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
