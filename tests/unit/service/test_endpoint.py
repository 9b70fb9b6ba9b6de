"""The sink's metrics and health check: always answered, whatever other clients do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, Gauge

from infra.servers import probes
from sluice.service.endpoint import MAX_CONNECTIONS, serve
from sluice.settings import LOOPBACK
from tests.fixtures.waiting import wait


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    registry = CollectorRegistry()
    Gauge("sluice_sink_test", "A metric.", registry=registry).set(7)
    server = serve(LOOPBACK, 0, "SLUICE_SINK_PORT", registry, {"/health": lambda: None})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def port(server: ThreadingHTTPServer) -> int:
    return server.server_port


def status(port: int, path: str, host: str | None = None, method: str = "GET") -> int:
    connection = HTTPConnection(LOOPBACK, port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


@pytest.fixture
def slow_client(port: int) -> Iterator[Callable[[bytes], socket.socket]]:
    """Returns a function that connects, sends the start of a request, and neither finishes it nor reads."""
    with ExitStack() as stack:

        def connect(start: bytes) -> socket.socket:
            client = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=60))
            client.sendall(start)
            return client

        yield connect


@pytest.mark.parametrize("start", [b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_slow_scrapes_do_not_fail_the_health_check(
    port: int, slow_client: Callable[[bytes], socket.socket], start: bytes
) -> None:
    for _ in range(3 * MAX_CONNECTIONS):
        slow_client(start)
    assert probes.http_ok(LOOPBACK, port, "/health") is None
    assert b"sluice_sink_test 7.0" in probes.http_get(LOOPBACK, port, "/metrics")[1]


def test_connections_are_limited_and_the_oldest_is_closed_first(
    port: int, slow_client: Callable[[bytes], socket.socket]
) -> None:
    clients = [slow_client(b"GET /") for _ in range(MAX_CONNECTIONS + 2)]
    # The two oldest are closed without an answer, the others are still open.
    for client in clients[:2]:
        assert client.recv(1) == b""
    for client in clients[2:]:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_a_connection_that_ends_makes_room(
    server: ThreadingHTTPServer, slow_client: Callable[[bytes], socket.socket]
) -> None:
    first = slow_client(b"GET /")
    for _ in range(2 * MAX_CONNECTIONS):
        assert probes.http_ok(LOOPBACK, server.server_port, "/health") is None
        wait("the connection to end", lambda: len(server._connections) == 1)  # type: ignore[attr-defined]
    first.setblocking(False)
    with pytest.raises(BlockingIOError):
        first.recv(1)


@pytest.mark.parametrize("host", ["127.0.0.1:9095", "localhost", "[::1]:9095", "10.1.2.3:9095", "sink:9095", None])
def test_programs_on_this_machine_and_in_its_network_are_answered(port: int, host: str | None) -> None:
    assert status(port, "/metrics", host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:9095", "127.0.0.1.evil.example", "[", "", "a b"]
)
def test_a_page_that_rebinds_its_name_reads_nothing(port: int, host: str) -> None:
    assert status(port, "/metrics", host) == status(port, "/health", host) == 400


@pytest.mark.parametrize("path", ["/", "//[", "/metrics/..", "/%00", "/" + "x" * 5_000, "/metrics" + "?a" * 100_000])
def test_no_path_is_a_server_error(port: int, path: str) -> None:
    assert 400 <= status(port, path, "localhost") < 500


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", ";;,,", "text/plain; version=1.0.0", "*/*"]
)
def test_no_header_is_a_server_error(port: int, accept: str) -> None:
    connection = HTTPConnection(LOOPBACK, port, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    response = connection.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"sluice_sink_test 7.0" in response.read()
    connection.close()
