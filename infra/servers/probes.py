"""Small questions to servers: do you answer? Each returns None for yes, otherwise what is missing."""

import http.client
import json
import socket
import struct
from typing import Any

from sluice.errors import SluiceError, TransientError
from sluice.live.heartbeat import staleness
from sluice.settings import Settings
from sluice.warehouse.connect import connect

SECONDS = 8.0


def kafka(host: str, port: int) -> str | None:
    """Asks a broker for its API versions, which it answers once it has caught up and is unfenced."""
    # Length, ApiVersions (18) version 0, correlation id, no client id: the oldest request there is.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as connection:
            connection.sendall(request)
            answer = connection.recv(10)
    except OSError as error:
        return f"no answer on {host}:{port} ({error.strerror or error})"
    if len(answer) < 10 or struct.unpack(">iih", answer)[2] != 0:
        return f"an unexpected answer on {host}:{port}"
    return None


def live(settings: Settings) -> str | None:
    """Asks Postgres when the live view's process last said that it is there."""
    try:
        with connect(settings, "live") as connection:
            return staleness(connection)
    except SluiceError as error:
        return str(error)


def http_get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET request.

    Raises:
        TransientError: nobody answers there in time.
    """
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"no answer on {host}:{port} ({error})") from None
    finally:
        connection.close()


def http_ok(host: str, port: int, path: str) -> str | None:
    """Asks for a page that a server shows when it is ready."""
    try:
        status, _ = http_get(host, port, path)
    except TransientError as error:
        return str(error)
    return None if status == 200 else f"{host}:{port}{path} answers {status}"


def http_json(host: str, port: int, path: str) -> Any:
    """The JSON document that a server answers.

    Raises:
        TransientError: nobody answers, or with something else.
    """
    status, body = http_get(host, port, path)
    if status != 200:
        raise TransientError(f"{host}:{port}{path} answers {status}")
    return json.loads(body)
