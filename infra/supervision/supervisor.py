"""The supervisor: a process that outlives the command that starts it and restarts every service that dies.

Its configuration and environment hold no secrets: every program is `python -m infra NAME`, which reads its secrets
itself.
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
from infra.processes.environment import own_environment
from infra.servers.service import Service
from infra.supervision.code_version import code_version
from sluice.errors import SluiceError, TransientError
from sluice.settings import ROOT

NAME = "supervisor"
CONFIGURATION = """\
; code version {version}
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
    """Returns the supervisor's socket: below ``home``, or in the temporary folder if that path would be too long."""
    path = home / "run" / "supervisor.sock"
    # The system's limit is 108 bytes, and the supervisor first creates a socket with its process id appended.
    if len(os.fsencode(path)) <= 90:
        return path
    return Path(tempfile.gettempdir()) / f"sluice-{os.getuid()}-{hashlib.sha256(bytes(home)).hexdigest()[:12]}" / "s"


def configuration(services: Iterable[Service], home: Path) -> str:
    """Returns the supervisor's configuration for services with data and logs below ``home``.

    Raises:
        SluiceError: a folder's name contains a per cent sign, which the supervisor would expand.
    """
    paths = {"root": ROOT, "logs": home / "logs", "run": home / "run", "socket": socket_path(home)}
    if any("%" in str(path) for path in paths.values()):
        raise SluiceError(
            f"the supervisor cannot use a folder whose name contains a per cent sign: {home}",
            "set SLUICE_HOME to another folder",
        )
    # If no user is set, it warns on each start that it runs as root.
    user = "user=root\n" if os.geteuid() == 0 else ""
    text = CONFIGURATION.format(version=code_version(), user=user, **paths)
    for service in services:
        command = shlex.join([sys.executable, "-m", "infra", service.name])
        text += PROGRAM.format(
            name=service.name,
            command=command,
            signal=service.stop_signal,
            seconds=service.stop_seconds,
            # On SIGINT Postgres's main process shuts down; its backends would only cancel their queries.
            as_group="true" if service.stop_signal == "TERM" else "false",
            **paths,
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
    """Controls the supervisor of the platform in ``home``. Thread-safe: each call opens its own connection."""

    def __init__(self, services: Iterable[Service], home: Path, env_file: Path) -> None:
        self._services = tuple(services)
        self._home = home
        self._env_file = env_file

    def running(self) -> bool:
        """Returns whether the supervisor is up."""
        try:
            self._call("getState")
        except TransientError:
            return False
        return True

    def is_outdated(self) -> bool:
        """Returns whether a running supervisor was started by another version of the platform, or other settings."""
        file = self._home / "supervisor.conf"
        current = file.read_text() if file.exists() else ""
        return current != configuration(self._services, self._home) and self.running()

    def ensure_running(self) -> None:
        """Starts the supervisor unless it is up, after terminating leftover processes of one that was killed.

        Raises:
            SluiceError: another user owns the socket's folder.
            LoggedError: the supervisor does not start.
        """
        if self.running():
            return
        self.terminate_leftovers()
        for folder in (self._home / "run", self._home / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        address = socket_path(self._home)
        address.parent.mkdir(mode=0o700, exist_ok=True)
        if address.parent.stat().st_uid != os.getuid():
            raise SluiceError(
                f"cannot start the supervisor: {address.parent} belongs to another user",
                "remove that folder or set SLUICE_HOME to another one",
            )
        file = self._home / "supervisor.conf"
        file.write_text(configuration(self._services, self._home))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)]
        # The supervisor detaches itself from this command and its terminal.
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
        raise LoggedError(f"the supervisor did not start: {result.stderr.strip() or 'no response'}", log)

    def _environment(self) -> dict[str, str]:
        own = {processes.HOME: str(self._home), processes.SERVICE: NAME, "SLUICE_ENV_FILE": str(self._env_file)}
        return own_environment(os.environ) | own

    def terminate_leftovers(self) -> None:
        """Terminates every process of the platform; for use only while the supervisor is down."""
        processes.terminate([process for process, _ in processes.owned(self._home)], seconds=15)

    def shutdown(self, seconds: float = 60) -> None:
        """Stops all services and the supervisor itself."""
        if self.running():
            pid = int(self._call("getPID"))
            self._call("shutdown")
            # Already gone or stuck: either way the remaining processes are terminated below.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(pid).wait(timeout=seconds)
        self.terminate_leftovers()

    def names(self) -> set[str]:
        """Returns the names of the supervised services, as the settings were when the supervisor started."""
        return {process["name"] for process in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Starts a service unless it runs. Does not wait until it is up."""
        if self.state(name)["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
            self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stops a service and waits until it has ended."""
        if self.state(name)["statename"] not in ("STOPPED", "EXITED", "FATAL"):
            self._call("stopProcess", name, True)

    def state(self, name: str) -> dict[str, Any]:
        """Returns the state of a service's process: ``statename``, ``pid``, ``start`` and ``now`` (epoch seconds), …"""
        state = self._call("getProcessInfo", name)
        if not isinstance(state, dict):
            raise SluiceError(
                f"unexpected response from the supervisor about {name}: {state!r}", "run `make down`, then `make up`"
            )
        return state

    def _call(self, method: str, *arguments: str | bool) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://supervisor", transport=_Transport(socket_path(self._home)))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except OSError as error:
            raise TransientError("the supervisor is down", "run `make up`") from error
        except xmlrpc.client.Fault as error:
            call = " ".join([method, *map(str, arguments)])
            raise SluiceError(
                f"the supervisor rejected {call}: {error.faultString}", "run `make down`, then `make up`"
            ) from None
