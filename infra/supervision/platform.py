"""Starts, stops and watches services under the supervisor.

A test that needs some servers of its own writes a settings file and starts just these:

    ensure_environment(file, {"home": folder, **dict(zip(PORTS, free_ports(len(PORTS))))})
    platform = Platform(read_settings(file), file)
    platform.start(["kafka", "postgres", "minio"])   # returns when all are healthy
    platform.stop()                                  # ends them; their data stays
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infra.config.ports import check_ports
from infra.install.installs import install_steps
from infra.processes import processes
from infra.processes.commands import InterruptedRunError, LoggedError
from infra.processes.steps import Report, Step, run_steps, say, select
from infra.servers.service import Service
from infra.servers.services import services
from infra.supervision.supervisor import Supervisor
from sluice.errors import SluiceError, TransientError
from sluice.settings import Settings, env_file

T = TypeVar("T")
GIVE_UP_SECONDS = 15
"""A service that still dies at each start after so long will not get better by itself."""


@dataclass(frozen=True)
class Status:
    """A service as it is now. ``memory`` is in bytes, ``uptime`` in seconds, ``port`` 0 where it has none."""

    name: str
    state: str
    detail: str = ""
    pid: int = 0
    port: int = 0
    memory: int = 0
    uptime: int = 0

    @property
    def healthy(self) -> bool:
        """Whether it runs and answers, or is left off on purpose."""
        return self.state in ("healthy", "off")


class Platform:
    """The servers of one settings file."""

    def __init__(self, settings: Settings, file: Path | None = None, report: Report = say) -> None:
        self.settings = settings
        self.services = services(settings)
        self.file = file or env_file()
        self.report = report
        self._off = settings.home / "off.json"
        self.supervisor = Supervisor(self.services.values(), settings.home, self.file)

    def start(self, names: Sequence[str]) -> None:
        """Installs what the services need, starts them and the services they need, and returns when all are healthy.

        Raises:
            SluiceError: a port is taken, an installation fails, or a service does not become healthy in time.
        """
        installs = install_steps(self.settings)
        known = {*self.services, *(step.name for step in installs)}
        chosen = select([self.supervise(), *installs, *(self.step(s, known) for s in self.services.values())], names)
        ports = [port for step in chosen if step.name in self.services for port in self.services[step.name].ports]
        check_ports(self.settings, ports, self.file)
        run_steps(chosen, self.report)

    def supervise(self) -> Step:
        """The step that starts the supervisor."""

        def run(_: threading.Event) -> None:
            self.supervisor.ensure()

        return Step("supervisor", run)

    def step(self, service: Service, known: Iterable[str], also: Iterable[str] = ()) -> Step:
        """The step that starts a service and waits until it is healthy.

        Args:
            service: which one.
            known: the names of the steps there are; its other needs are left out.
            also: steps that it has to wait for besides.
        """
        needs = ("supervisor", *(need for need in service.needs if need in known), *also)
        return Step(service.name, lambda cancelled: self._start(service, cancelled), needs)

    def _start(self, service: Service, cancelled: threading.Event) -> str | None:
        if self.supervisor.state(service.name)["statename"] == "RUNNING" and service.healthy(self.settings) is None:
            return None
        self.supervisor.start(service.name)
        start = time.monotonic()
        missing: str | None = "it does not run"
        while (waited := time.monotonic() - start) < service.start_seconds:
            state = self.supervisor.state(service.name)
            missing = service.healthy(self.settings) if state["statename"] == "RUNNING" else state["spawnerr"]
            if state["statename"] == "RUNNING" and missing is None:
                return "healthy"
            if state["statename"] == "BACKOFF" and waited > GIVE_UP_SECONDS:
                break
            if cancelled.wait(0.2):
                raise InterruptedRunError(f"{service.name} was still starting", "start it again")
        log = self.settings.home / "logs" / f"{service.name}.log"
        raise LoggedError(f"{service.name} is not healthy after {waited:.0f} s ({missing})", log)

    def leave_off(self, names: Sequence[str]) -> None:
        """Stops services, and counts it as right that they do not run until this is called again."""
        for name in names:
            self.supervisor.stop(name)
        self._off.write_text(json.dumps(list(names)))

    def stop(self) -> None:
        """Stops the services, those that need others first, and the supervisor. Data stays."""
        if self.supervisor.running():
            # The settings may ask for others since it was started.
            known = self.supervisor.names()
            for group in stop_order(service for name, service in self.services.items() if name in known):
                _at_once(lambda service: self.supervisor.stop(service.name), group)
        self.supervisor.shutdown()

    def status(self) -> list[Status]:
        """Every service as it is now, in the table's order. All are asked at once."""
        owned: dict[str, list[int]] = {}
        for process, name in processes.owned(self.settings.home):
            owned.setdefault(name, []).append(process.pid)
        return _at_once(lambda service: self._status(service, owned.get(service.name, [])), [*self.services.values()])

    def _status(self, service: Service, pids: list[int]) -> Status:
        port: int = getattr(self.settings, service.ports[0]) if service.ports else 0
        try:
            state = self.supervisor.state(service.name)
        except TransientError:
            return Status(service.name, "stopped", "the supervisor does not run", port=port)
        name: str = state["statename"]
        if name == "STOPPED" and self._off.exists() and service.name in json.loads(self._off.read_text()):
            return Status(service.name, "off", "`make up` starts it", port=port)
        if name != "RUNNING":
            return Status(service.name, name.lower(), state["spawnerr"], port=port)
        missing = service.healthy(self.settings)
        return Status(
            service.name,
            "healthy" if missing is None else "unhealthy",
            missing or "",
            pid=state["pid"],
            port=port,
            memory=processes.memory(pids),
            uptime=state["now"] - state["start"],
        )


def stop_order(services: Iterable[Service]) -> list[list[Service]]:
    """Groups of services to stop one after another: none needs a service of an earlier group."""
    left = {service.name: service for service in services}
    groups: list[list[Service]] = []
    while left:
        needed = {need for service in left.values() for need in service.needs}
        group = [service for service in left.values() if service.name not in needed]
        if not group:
            raise SluiceError(f"these services need each other: {', '.join(left)}")
        groups.append(group)
        for service in group:
            del left[service.name]
    return groups


def _at_once(call: Callable[[Service], T], services: Sequence[Service]) -> list[T]:
    with ThreadPoolExecutor(max_workers=len(services)) as pool:
        return list(pool.map(call, services))
