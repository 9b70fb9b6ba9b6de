"""Carries out the faults of a schedule. Each one ends by itself, and at once if the soak is interrupted."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random

import psutil

from infra.processes import processes
from infra.supervision import supervisor
from sluice.settings import ROOT
from tests.faults.proxy import Fault as StoreFault
from tests.soak import disk, schedule
from tests.soak.platform import SoakedPlatform
from tests.soak.schedule import Fault
from tests.soak.service import OTHER_SINK

_SEARCH = 20.0
"""Seconds to wait for a process that is not always there."""
_LAUNCH_ATTEMPTS = 10


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: the seconds it took, or why it was left out."""

    fault: Fault
    began: float
    seconds: float
    skipped: str = ""


class _SkippedError(Exception):
    """A fault cannot be carried out."""


class Nemesis:
    """Carries out faults in the background, several at once if their times overlap."""

    def __init__(self, platform: SoakedPlatform, faults: Sequence[Fault], say: Callable[[str], None]) -> None:
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        """What the platform did not survive, or a fault that could not be ended."""
        self._platform = platform
        self._faults = faults
        self._say = say
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._store_faults: dict[Fault, list[StoreFault]] = {}
        self._threads: list[threading.Thread] = []
        self._started = 0.0
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begins the schedule."""
        self._started = time.monotonic()
        self._thread.start()

    def end(self) -> None:
        """Ends the schedule and all faults, and waits for the last one."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        for fault in self._faults:
            if self._ending.wait(max(0.0, self._started + fault.moment - time.monotonic())):
                return
            thread = threading.Thread(target=self._carry_out, args=(fault,))
            self._threads.append(thread)
            thread.start()

    def _carry_out(self, fault: Fault) -> None:
        began, skipped = time.monotonic(), ""
        hits = {
            schedule.KILL: self._kill,
            schedule.STOP: self._stop,
            schedule.STORE: self._disturb_store,
            schedule.BROKER: self._lose,
            schedule.JOIN: self._join,
            schedule.DISK: self._fill_disk,
        }
        try:
            with hits[fault.kind](fault) as detail:
                self._say(f"{fault} {detail}".rstrip() + ("" if _is_over(fault) else f", {fault.seconds:.0f} s"))
                self._ending.wait(fault.seconds)
        except _SkippedError as error:
            skipped = str(error)
            self._say(f"{fault}: left out, {skipped}")
        except (AssertionError, psutil.Error, OSError, subprocess.SubprocessError) as error:
            self.problems.append(f"{fault}: {error}")
            self._say(f"{fault}: {error}")
        moment = began - self._started
        self.outcomes.append(Outcome(fault, round(moment, 1), round(time.monotonic() - began, 1), skipped))

    @contextmanager
    def _kill(self, fault: Fault) -> Iterator[str]:
        process = self._target(fault)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        yield f"({process.pid})"
        if fault.target == schedule.SUPERVISOR:
            self._launch_again()

    def _launch_again(self) -> None:
        """Starts the platform again as an operator does: nothing restarts the supervisor."""
        for _ in range(_LAUNCH_ATTEMPTS):
            launch = self._platform.sluice("up", "--no-live")
            if launch.code == 0:
                return
        raise AssertionError(f"the platform cannot be launched again: {launch.errors.strip()}")

    @contextmanager
    def _stop(self, fault: Fault) -> Iterator[str]:
        process = self._target(fault)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
        try:
            yield f"({process.pid})"
        finally:
            # A process that was killed or replaced meanwhile is stopped no longer.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    @contextmanager
    def _disturb_store(self, fault: Fault) -> Iterator[str]:
        store = self._platform.store
        if fault.target == "refused":
            store.down()
            try:
                yield ""
            finally:
                store.up()
            return
        self._inject(fault, _store_faults(fault))
        try:
            yield ""
        finally:
            self._inject(fault, [])

    def _inject(self, fault: Fault, faults: list[StoreFault]) -> None:
        with self._lock:
            self._store_faults[fault] = faults
            self._platform.store.inject(*(one for several in self._store_faults.values() for one in several))

    @contextmanager
    def _lose(self, fault: Fault) -> Iterator[str]:
        self._platform.broker.lose(fault.target)
        try:
            yield ""
        finally:
            self._platform.broker.lose("")

    @contextmanager
    def _join(self, fault: Fault) -> Iterator[str]:
        settings, file = self._platform.running.settings, self._platform.running.file
        # The environment in which the supervisor starts a service.
        environment = supervisor.Supervisor((), settings.home, file)._environment()
        with (
            (settings.home / "logs" / f"{OTHER_SINK}.log").open("ab") as log,
            subprocess.Popen(
                [sys.executable, "-m", "tests.soak.service", OTHER_SINK],
                env=environment | {processes.SERVICE: OTHER_SINK},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield f"({process.pid})"
            finally:
                process.terminate() if fault.target == "terminated" else process.kill()
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()

    @contextmanager
    def _fill_disk(self, fault: Fault) -> Iterator[str]:
        if self._platform.no_disk:
            raise _SkippedError(self._platform.no_disk)
        with disk.full(self._platform.home):
            yield ""

    def _target(self, fault: Fault) -> psutil.Process:
        """Returns the process that a fault hits, once there is one.

        Raises:
            _SkippedError: there was none for a while.
        """
        deadline = time.monotonic() + _SEARCH
        while not (found := candidates(self._platform, fault.target)):
            if time.monotonic() > deadline or self._ending.wait(0.2):
                raise _SkippedError("no such process runs")
        return found[int(fault.choice * len(found))]


def candidates(platform: SoakedPlatform, target: str) -> list[psutil.Process]:
    """Returns the running processes that a target means, the oldest first."""
    if target == schedule.PRODUCER:
        # Commands are not processes of the platform.
        return [child for child in psutil.Process().children(recursive=True) if _runs(child, "producers")]
    owned = sorted(processes.owned(platform.home), key=lambda item: _create_time(item[0]))
    if target == schedule.DBT:
        return [process for process, _ in owned if _runs(process, "dbt")]
    service = {schedule.BACKEND: "postgres", schedule.TASK: "airflow-scheduler"}.get(target, target)
    of_service = [process for process, name in owned if name == service]
    if target in (schedule.BACKEND, schedule.TASK):
        return [process for process in of_service[1:] if not _runs(process, "dbt")]
    return of_service[:1]


def _is_over(fault: Fault) -> bool:
    """Returns whether a fault is over once it has begun: what is killed is started again at once."""
    return fault.kind == schedule.KILL and fault.target != schedule.SUPERVISOR


def _runs(process: psutil.Process, name: str) -> bool:
    try:
        return any(part.rpartition("/")[2] == name for part in process.cmdline()[:4])
    except psutil.Error:
        return False


def _create_time(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:
        return time.time()


def _store_faults(fault: Fault) -> list[StoreFault]:
    """Returns what happens to a store's requests: some never reach it, and of others only the response is lost."""
    random = Random(fault.choice)

    def some(share: float, _: object) -> bool:
        return random.random() < share

    if fault.target == "slow":
        return [StoreFault("slow", delay=0.2 + 3 * fault.choice)]
    if fault.target == "reset":
        return [
            StoreFault("reset", matches=partial(some, 0.2), reset=True),
            StoreFault("response lost", matches=partial(some, 0.2), reset=True, forwarded=True),
        ]
    return [
        StoreFault("503", matches=partial(some, 0.4), status=503),
        StoreFault("500 after it was done", matches=partial(some, 0.2), status=500, forwarded=True),
    ]
