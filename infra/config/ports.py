"""Says before anything starts which ports are taken, by whom, and which setting changes them."""

import random
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from infra.config.settings_file import variable
from infra.processes.processes import service_of
from sluice.errors import SluiceError
from sluice.settings import LOOPBACK, Settings

_SERVER_PORTS = (15_000, 30_000)
"""Linux gives outgoing connections ports from 32,768 on (ip_local_port_range)."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now, all different.

    They are below those that the system gives to outgoing connections: a client that keeps on trying a server which is
    down could otherwise be given that very port, and keep the server from coming back.
    """
    found: list[int] = []
    for port in random.sample(range(*_SERVER_PORTS), _SERVER_PORTS[1] - _SERVER_PORTS[0]):
        if len(found) == count:
            break
        if not _taken(port):
            found.append(port)
    return found


def check_ports(settings: Settings, names: Iterable[str], file: Path) -> None:
    """Checks that the ports of the settings named are free, or held by this platform's own services.

    Raises:
        SluiceError: some are taken or named twice; the message names each with its owner and its setting.
    """
    faults: list[str] = []
    seen: dict[int, str] = {}
    taken: dict[str, list[str]] = {}
    for name in names:
        port: int = getattr(settings, name)
        if port in seen:
            faults.append(f"port {port} is given to both {variable(seen[port])} and {variable(name)}")
        elif _taken(port):
            owner = _owner(port)
            if owner is None or service_of(owner, settings.home) is None:
                taken.setdefault(describe(owner), []).append(f"port {port} ({variable(name)})")
        seen[port] = name
    faults += [f"{', '.join(ports)} taken by {owner}" for owner, ports in taken.items()]
    if faults:
        raise SluiceError("; ".join(faults), f"end that process or choose another port in {file}")


def describe(process: psutil.Process | None) -> str:
    """A process for people: its id and the start of its command line."""
    if process is None:
        return "a process of another user"
    try:
        command = " ".join(process.cmdline()) or process.name()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        command = "?"
    return f"process {process.pid} (`{command[:80]}`)"


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server that still linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _owner(port: int) -> psutil.Process | None:
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None
