"""An empty platform for a soak, on a file system that can be filled, with proxies in front of store and broker."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sluice.settings import ROOT
from tests.faults.proxy import Proxy
from tests.fixtures.platform import Running, prepared
from tests.fixtures.ports import free_ports
from tests.soak import disk
from tests.soak.broker_proxy import BrokerProxy
from tests.soak.service import BROKER_PORT, LISTENER_PORT, STORE_PORT


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    output: str
    errors: str


class SoakedPlatform:
    """A running platform, and what the nemesis needs to disturb it."""

    def __init__(self, running: Running, store: Proxy, broker: BrokerProxy, no_disk: str | None, log: Path) -> None:
        self.running = running
        self.store = store
        self.broker = broker
        self.no_disk = no_disk
        """Why its disk cannot be filled; None if it can."""
        self.tracebacks: list[str] = []
        """The commands that ended with a traceback instead of an error of one line."""
        self._log = log
        self._lock = threading.Lock()
        self._commands: set[subprocess.Popen[str]] = set()
        self._interrupted = False

    @property
    def home(self) -> Path:
        return self.running.settings.home

    def sluice(self, *arguments: str, timeout: float = 900) -> Done:
        """Runs a command as `make` does, whose output goes to the log; one that takes too long is killed."""
        if self._interrupted:
            return Done(130, "", "interrupted")
        command = [*self.running.program, *arguments]
        with subprocess.Popen(
            command,
            env=self.running.environment,
            cwd=ROOT,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            self._commands.add(process)
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                output, errors = process.communicate()
                errors += f"killed after {timeout:.0f} s"
            self._commands.discard(process)
        line = f"sluice {' '.join(arguments)}"
        with self._lock, self._log.open("a") as log:
            log.write(f"$ {line}\n{output}{errors}({process.returncode})\n\n")
            # Airflow's own command line ends with one where its database is down.
            if "Traceback" in errors and arguments[0] != "airflow":
                self.tracebacks.append(line)
        return Done(process.returncode, output, errors)

    def interrupt(self) -> None:
        """Ends the commands that are running, and runs no more."""
        self._interrupted = True
        for process in [*self._commands]:
            process.terminate()

    def down(self) -> None:
        """Stops everything, also after an interruption."""
        self._interrupted = False
        self.sluice("down")


@contextmanager
def soaked_platform(log: Path) -> Iterator[SoakedPlatform]:
    """Yields a running, empty platform; ``log`` receives the output of its commands."""
    with prepared() as running:
        settings = running.settings
        settings.home.mkdir()
        store, broker, listener = free_ports(3)
        with running.file.open("a") as file:
            file.write(f"{STORE_PORT}={store}\n{BROKER_PORT}={broker}\n{LISTENER_PORT}={listener}\n")
        running = replace(running, program=(sys.executable, "-m", "tests.soak.command"))
        with (
            disk.mounted(settings.home) as no_disk,
            Proxy(settings.minio_port, port=store) as store_proxy,
            BrokerProxy(broker, listener) as broker_proxy,
        ):
            platform = SoakedPlatform(running, store_proxy, broker_proxy, no_disk, log)
            try:
                launch = platform.sluice("up", "--months", "0", "--no-live", timeout=1200)
                assert launch.code == 0, launch.errors
                yield platform
            finally:
                platform.down()
