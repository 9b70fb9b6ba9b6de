"""Starts, stops and monitors services under the supervisor.

A test that needs servers of its own writes a settings file and starts only those servers:

    ensure_settings_file(file, {"home": folder, **dict(zip(PORTS, free_ports(len(PORTS))))})
    platform = Platform(read_settings(file), file)
    platform.start(["kafka", "postgres", "minio"])   # returns when all are healthy
    platform.stop()                                  # stops them; data is kept
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infra.config.ports import check_ports
from infra.install.installs import install_steps
from infra.processes import processes
from infra.processes.commands import InterruptedRunError, LoggedError
from infra.processes.steps import Report, Step, print_line, run_steps, select
from infra.servers.external import address
from infra.servers.service import Service
from infra.servers.services import services
from infra.supervision.supervisor import Supervisor
from sluice.errors import SluiceError, TransientError
from sluice.settings import Settings, env_file

T = TypeVar("T")
GIVE_UP_SECONDS = 15
"""A service that still crashes on start after this time is not expected to recover."""


@dataclass(frozen=True)
class Status:
    """The current status of a service: ``memory`` in bytes, ``uptime`` in seconds, ``port`` 0 if it has none."""

    name: str
    state: str
    detail: str = ""
    pid: int = 0
    port: int = 0
    memory: int = 0
    uptime: int = 0

    @property
    def healthy(self) -> bool:
        """Whether the service is up, or disabled on purpose."""
        return self.state in ("healthy", "off", "external")


class Platform:
    """The servers of one settings file."""

    def __init__(self, settings: Settings, file: Path | None = None, report: Report = print_line) -> None:
        self.settings = settings
        self.services = services(settings)
        self.file = file or env_file()
        self.report = report
        self._disabled = settings.home / "off.json"
        own = [service for service in self.services.values() if not service.external]
        self.supervisor = Supervisor(own, settings.home, self.file)

    def start(self, names: Sequence[str]) -> None:
        """Installs and starts the named services and all that they need; returns when all are healthy.

        Raises:
            SluiceError: a port is taken, an installation failed, or a service did not become healthy in time.
        """
        installs = install_steps(self.settings, observe=True, spark=True)
        known = {*self.services, *(step.name for step in installs)}
        starts = [self.service_step(service, known) for service in self.services.values()]
        chosen = select([self.supervisor_step(), *installs, *starts], names)
        ports = [port for step in chosen if step.name in self.services for port in self.services[step.name].ports]
        check_ports(self.settings, ports, self.file)
        run_steps(chosen, self.report)

    def supervisor_step(self) -> Step:
        """Returns the step that starts the supervisor, and restarts one that is outdated, with all its services."""

        def run(_: threading.Event) -> str | None:
            outdated = self.supervisor.is_outdated()
            if outdated:
                self.stop()
            self.supervisor.ensure_running()
            return "restarted with a new configuration" if outdated else None

        return Step("supervisor", run)

    def service_step(self, service: Service, known: Iterable[str], extra_needs: Iterable[str] = ()) -> Step:
        """Returns the step that starts a service and waits until it is healthy.

        Args:
            service: the service to start.
            known: the names of all steps in the run; needs outside it are ignored.
            extra_needs: further steps to wait for.
        """
        needs = ("supervisor", *(need for need in service.needs if need in known), *extra_needs)
        if service.external:
            return Step(service.name, lambda _: self._probe(service))
        return Step(service.name, lambda cancelled: self._start(service, cancelled), needs)

    def _probe(self, service: Service) -> str:
        problem = service.check_health(self.settings)
        if problem is not None:
            raise SluiceError(f"the external {service.name} cannot be used: {problem}")
        return f"external, at {address(service, self.settings)}"

    def _start(self, service: Service, cancelled: threading.Event) -> str | None:
        running = self.supervisor.state(service.name)["statename"] == "RUNNING"
        if running and service.check_health(self.settings) is None:
            return None
        self.supervisor.start(service.name)
        start = time.monotonic()
        problem: str | None = "not running"
        while (waited := time.monotonic() - start) < service.start_seconds:
            state = self.supervisor.state(service.name)
            problem = service.check_health(self.settings) if state["statename"] == "RUNNING" else state["spawnerr"]
            if state["statename"] == "RUNNING" and problem is None:
                return "healthy"
            if problem is not None and problem in service.hopeless:
                raise SluiceError(f"cannot use {service.name}: {problem}", service.hopeless[problem])
            if state["statename"] == "BACKOFF" and waited > GIVE_UP_SECONDS:
                break
            if cancelled.wait(0.2):
                raise InterruptedRunError(f"interrupted while {service.name} was starting", "run `make up` again")
        log = self.settings.home / "logs" / f"{service.name}.log"
        raise LoggedError(f"{service.name} is not healthy after {waited:.0f} s: {problem or 'not running'}", log)

    def disable(self, names: Collection[str]) -> None:
        """Stops services and records that they are off on purpose; replaces the list of an earlier call."""
        for name in names:
            self.supervisor.stop(name)
        draft = self._disabled.with_suffix(".new")
        draft.write_text(json.dumps(list(names)))
        draft.replace(self._disabled)

    def stop(self) -> None:
        """Stops the services, dependents first, and then the supervisor. Data is kept."""
        if self.supervisor.running():
            # The settings may have changed since the supervisor started.
            known = self.supervisor.names()
            for group in stop_order(service for name, service in self.services.items() if name in known):
                _in_parallel(lambda service: self.supervisor.stop(service.name), group)
        self.supervisor.shutdown()

    def status(self) -> list[Status]:
        """Returns the status of every service, in the table's order. Services are checked in parallel."""
        owned: dict[str, list[int]] = {}
        for process, name in processes.owned(self.settings.home):
            owned.setdefault(name, []).append(process.pid)
        return _in_parallel(
            lambda service: self._status(service, owned.get(service.name, [])), [*self.services.values()]
        )

    def _status(self, service: Service, pids: list[int]) -> Status:
        if service.external:
            problem = service.check_health(self.settings)
            if problem is not None:
                return Status(service.name, "external down", problem)
            return Status(service.name, "external", f"reachable at {address(service, self.settings)}")
        port: int = getattr(self.settings, service.ports[0]) if service.ports else 0
        try:
            state = self.supervisor.state(service.name)
        except TransientError:
            return Status(service.name, "stopped", "the supervisor is down", port=port)
        name: str = state["statename"]
        if name == "STOPPED" and self._disabled.exists() and service.name in json.loads(self._disabled.read_text()):
            return Status(service.name, "off", f"`make up{service.option}` starts it", port=port)
        if name != "RUNNING":
            return Status(service.name, name.lower(), state["spawnerr"], port=port)
        problem = service.check_health(self.settings)
        return Status(
            service.name,
            "healthy" if problem is None else "unhealthy",
            problem or service.notice(self.settings) or "",
            pid=state["pid"],
            port=port,
            memory=processes.memory(pids),
            uptime=state["now"] - state["start"],
        )


def stop_order(services: Iterable[Service]) -> list[list[Service]]:
    """Returns groups of services to stop in order: no service needs one of an earlier group."""
    remaining = {service.name: service for service in services}
    groups: list[list[Service]] = []
    while remaining:
        needed = {need for service in remaining.values() for need in service.needs}
        group = [service for service in remaining.values() if service.name not in needed]
        if not group:
            raise SluiceError(f"services need each other: {', '.join(remaining)}", "break the circular dependency")
        groups.append(group)
        for service in group:
            del remaining[service.name]
    return groups


def _in_parallel(call: Callable[[Service], T], services: Sequence[Service]) -> list[T]:
    with ThreadPoolExecutor(max_workers=len(services)) as pool:
        return list(pool.map(call, services))
