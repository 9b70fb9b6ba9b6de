"""One direction of the proxy before the broker can be lost, and what was lost arrives once the loss is over."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.config.ports import free_ports
from sluice.settings import LOOPBACK
from tests.soak.broker_proxy import REQUESTS, RESPONSES, BrokerProxy


@contextmanager
def echo() -> Iterator[int]:
    """Yields the port of a server that greets, and then sends back what it receives."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(b"hello")
                threading.Thread(target=relay, args=(connection,), daemon=True).start()

        def relay(connection: socket.socket) -> None:
            while data := connection.recv(100):
                connection.sendall(data)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, port), timeout=5) as connection:
        yield connection


def test_without_a_loss_everything_arrives() -> None:
    with echo() as upstream, BrokerProxy(free_ports(1)[0], upstream) as proxy, client(proxy.port) as connection:
        assert connection.recv(100) == b"hello"
        connection.sendall(b"request")
        assert connection.recv(100) == b"request"


@pytest.mark.parametrize("direction", [REQUESTS, RESPONSES])
def test_what_is_lost_in_one_direction_arrives_after_the_loss(direction: str) -> None:
    with echo() as upstream, BrokerProxy(free_ports(1)[0], upstream) as proxy, client(proxy.port) as connection:
        assert connection.recv(100) == b"hello"
        proxy.lose(direction)
        connection.sendall(b"request")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        proxy.lose("")
        connection.settimeout(5)
        assert connection.recv(100) == b"request"


def test_the_other_direction_arrives_during_a_loss() -> None:
    with echo() as upstream, BrokerProxy(free_ports(1)[0], upstream) as proxy:
        proxy.lose(REQUESTS)
        with client(proxy.port) as connection:
            assert connection.recv(100) == b"hello"


def test_a_client_is_disconnected_while_the_broker_is_down() -> None:
    (upstream,) = free_ports(1)
    with BrokerProxy(free_ports(1)[0], upstream) as proxy, client(proxy.port) as connection:
        assert connection.recv(100) == b""


def test_connections_end_with_the_proxy_also_during_a_loss() -> None:
    with echo() as upstream:
        with BrokerProxy(free_ports(1)[0], upstream) as proxy:
            connection = socket.create_connection((LOOPBACK, proxy.port), timeout=5)
            assert connection.recv(100) == b"hello"
            proxy.lose(RESPONSES)
            connection.sendall(b"request")
        with connection:
            assert connection.recv(100) in (b"", b"request")
