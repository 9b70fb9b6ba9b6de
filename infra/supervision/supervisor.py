"""The supervisor: a process that outlives the command that starts it, and restarts each service that dies.

Its configuration and its environment hold no secrets: every program is `python -m infra NAME`, which reads
them itself.
"""

import contextlib
import hashlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from infra.processes import processes
from infra.processes.commands import LoggedError
from infra.servers.service import Service
from sluice.errors import SluiceError, TransientError
from sluice.settings import ROOT

NAME = "supervisor"
CONFIGURATION = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={logs}/supervisor.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={run}/supervisor.pid
childlogdir={logs}
directory={root}
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command={command}
directory={root}
autostart=false
autorestart=true
startsecs=1
startretries=1000000
stopsignal={signal}
stopwaitsecs={seconds}
stopasgroup={as_group}
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


def socket_path(home: Path) -> Path:
    """Where the supervisor listens: below ``home``, or in the temporary folder when that name is too long."""
    path = home / "run" / "supervisor.sock"
    # The system's limit is 108 bytes, and the supervisor first makes one whose name is longer by its process id.
    if len(os.fsencode(path)) <= 90:
        return path
    return Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}-{hashlib.sha256(bytes(home)).hexdigest()[:12]}" / "s"


def configuration(services: Iterable[Service], home: Path) -> str:
    """The supervisor's configuration for services whose data and logs are below ``home``.

    Raises:
        SluiceError: a folder's name has a per cent sign, which starts an expansion there.
    """
    places = {"root": ROOT, "logs": home / "logs", "run": home / "run", "socket": socket_path(home)}
    if any("%" in str(place) for place in places.values()):
        raise SluiceError(
            f"the supervisor cannot use a folder with a per cent sign: {home}", "choose another SLUICE_HOME"
        )
    # Without a user it warns on each start that it runs as root.
    user = "user=root\n" if os.geteuid() == 0 else ""
    text = CONFIGURATION.format(user=user, **places)
    for service in services:
        command = shlex.join([sys.executable, "-m", "infra", service.name])
        text += PROGRAM.format(
            name=service.name,
            command=command,
            signal=service.stop_signal,
            seconds=service.stop_seconds,
            # SIGINT asks Postgres' own processes to cancel their query; only the first one shuts down.
            as_group="true" if service.stop_signal == "TERM" else "false",
            **places,
        )
    return text


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("supervisor", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _: object) -> http.client.HTTPConnection:
        return _Connection(self._path)


class Supervisor:
    """The supervisor of the platform in ``home``. Each call opens its own connection, so threads may share this."""

    def __init__(self, services: Iterable[Service], home: Path, env_file: Path) -> None:
        self._services = tuple(services)
        self._home = home
        self._env_file = env_file

    def running(self) -> bool:
        """Whether it runs and answers."""
        try:
            self._call("getState")
        except TransientError:
            return False
        return True

    def ensure(self) -> None:
        """Starts it unless it runs, after ending what an earlier one that was killed left behind.

        Raises:
            LoggedError: it does not start.
        """
        if self.running():
            return
        self.sweep()
        for folder in (self._home / "run", self._home / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        address = socket_path(self._home)
        address.parent.mkdir(mode=0o700, exist_ok=True)
        if address.parent.stat().st_uid != os.getuid():
            raise SluiceError(f"{address.parent} belongs to another user", "remove it or set SLUICE_HOME")
        file = self._home / "supervisor.conf"
        file.write_text(configuration(self._services, self._home))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)]
        # It detaches itself from this command and its terminal.
        result = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        deadline = time.monotonic() + 20
        while result.returncode == 0 and time.monotonic() < deadline:
            if self.running():
                return
            time.sleep(0.05)
        log = self._home / "logs" / "supervisor.log"
        raise LoggedError(f"the supervisor does not start ({result.stderr.strip()})", log)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        marks = {processes.HOME: str(self._home), processes.SERVICE: NAME, "SLUICE_ENV_FILE": str(self._env_file)}
        return kept | marks

    def sweep(self) -> None:
        """Ends every process of the platform that no supervisor looks after."""
        processes.end([process for process, _ in processes.owned(self._home)], seconds=15)

    def shutdown(self, seconds: float = 60) -> None:
        """Stops all services and the supervisor itself."""
        if self.running():
            pid = int(self._call("getPID"))
            self._call("shutdown")
            # Gone already, or stuck: either way the sweep ends what is left.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(pid).wait(timeout=seconds)
        self.sweep()

    def names(self) -> set[str]:
        """The services that it knows: those of the settings as they were when it started."""
        return {each["name"] for each in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Starts a service unless it runs. Does not wait for it."""
        if self.state(name)["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
            self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stops a service and waits until it has ended."""
        if self.state(name)["statename"] not in ("STOPPED", "EXITED", "FATAL"):
            self._call("stopProcess", name, True)

    def state(self, name: str) -> dict[str, Any]:
        """What the supervisor knows of a service: ``statename``, ``pid``, ``start`` and ``now`` (epoch seconds), …"""
        answer = self._call("getProcessInfo", name)
        if not isinstance(answer, dict):
            raise SluiceError(f"the supervisor's answer about {name} is not understood: {answer!r}")
        return answer

    def _call(self, method: str, *arguments: str | bool) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://supervisor", transport=_Transport(socket_path(self._home)))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except OSError as error:
            raise TransientError("the supervisor does not run", "`make up` starts it") from error
        except xmlrpc.client.Fault as error:
            call = " ".join([method, *map(str, arguments)])
            raise SluiceError(
                f"the supervisor refuses {call}: {error.faultString}", "`make down`, then `make up`"
            ) from None
