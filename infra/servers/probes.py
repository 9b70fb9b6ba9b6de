"""Health checks of servers. Each returns None if the server is up, otherwise the reason why not."""

import http.client
import json
import socket
import struct
from typing import Any

from sluice.errors import SluiceError, TransientError
from sluice.live.heartbeat import staleness
from sluice.settings import Settings
from sluice.sink import HALTED_PATH
from sluice.warehouse.connect import connect

TIMEOUT_SECONDS = 8.0


def kafka(host: str, port: int) -> str | None:
    """Requests a broker's API versions, which it returns once it has caught up and is unfenced."""
    # Length, ApiVersions (18) version 0, correlation id, no client id: supported by every broker.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            response = connection.recv(10)
    except OSError as error:
        return f"no response on {host}:{port} ({error.strerror or error})"
    if len(response) < 10 or struct.unpack(">iih", response)[2] != 0:
        return f"unexpected response on {host}:{port}"
    return None


def live(settings: Settings) -> str | None:
    """Checks the age of the live view's heartbeat in Postgres."""
    try:
        with connect(settings, "live") as connection:
            return staleness(connection)
    except SluiceError as error:
        return str(error)


def http_get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Returns status and body of the response to a GET request.

    Raises:
        TransientError: no response in time.
    """
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"no response on {host}:{port} ({error})") from None
    finally:
        connection.close()


def http_ok(host: str, port: int, path: str) -> str | None:
    """Requests a page that a server returns with status 200 once it is ready."""
    try:
        status, _ = http_get(host, port, path)
    except TransientError as error:
        return str(error)
    return None if status == 200 else f"{host}:{port}{path} returned status {status}"


def sink_notice(settings: Settings) -> str | None:
    """Returns which partitions the sink has halted, and why; None if there is none, or the sink is down."""
    try:
        status, body = http_get(settings.sink_host, settings.sink_port, HALTED_PATH)
    except TransientError:
        return None
    return body.decode(errors="replace").strip() if status == 503 else None


def http_json(host: str, port: int, path: str) -> Any:
    """Returns the JSON document that a server serves.

    Raises:
        TransientError: no response in time, a status other than 200, or another document, as while a server starts.
    """
    status, body = http_get(host, port, path)
    if status != 200:
        raise TransientError(f"{host}:{port}{path} returned status {status}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise TransientError(f"{host}:{port}{path} returned no JSON: {error}") from error
