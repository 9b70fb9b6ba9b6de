"""Checks ports before anything starts: which are taken, by which process, and which setting changes them."""

import random
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from infra.processes.processes import service_of
from sluice.errors import SluiceError
from sluice.settings import LOOPBACK, Settings, variable

SERVER_PORTS = range(15_000, 30_000)
"""Below 32,768, where Linux starts to assign ports to outgoing connections (ip_local_port_range)."""


def free_ports(count: int, candidates: range = SERVER_PORTS) -> list[int]:
    """Returns distinct loopback ports among the candidates on which nothing listens now.

    By default all are below the system's range for outgoing connections. Otherwise a client that keeps retrying a
    server that is down could be assigned that very port, and the server could not bind it when it restarts.
    """
    free: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        if len(free) == count:
            break
        if not _taken(port):
            free.append(port)
    return free


def check_ports(settings: Settings, names: Iterable[str], file: Path) -> None:
    """Checks that the ports of the named settings are free or in use by this platform's own services.

    Raises:
        SluiceError: a port is taken or assigned twice; the message names every such port, its owner and its setting.
    """
    faults: list[str] = []
    seen: dict[int, str] = {}
    taken: dict[str, list[str]] = {}
    for name in names:
        port: int = getattr(settings, name)
        if port in seen:
            faults.append(f"port {port} is assigned to both {variable(seen[port])} and {variable(name)}")
        elif _taken(port):
            owner = _owner(port)
            if owner is None or service_of(owner, settings.home) is None:
                taken.setdefault(describe_process(owner), []).append(f"port {port} ({variable(name)})")
        seen[port] = name
    for description, ports in taken.items():
        faults.append(f"{', '.join(ports)} {'is' if len(ports) == 1 else 'are'} taken by {description}")
    if faults:
        raise SluiceError("; ".join(faults), f"end that process or choose another port in {file}")


def describe_process(process: psutil.Process | None) -> str:
    """Returns a process's id and the start of its command line; None stands for a process of another user."""
    if process is None:
        return "a process of another user"
    try:
        command = " ".join(process.cmdline()) or process.name()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        command = "?"
    return f"process {process.pid} (`{command[:80]}`)"


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: lingering connections of an earlier server do not count.
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
