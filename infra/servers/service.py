"""The description of a server that the platform can run, and the function that execs it in the supervisor's child."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from infra.config.settings_file import public_variables, secret_variables
from infra.processes import processes
from sluice.settings import ROOT, Settings, variable

TOOLS = ROOT / ".tools"
"""Servers and toolchains installed by the platform, one folder per version."""


@dataclass(frozen=True)
class Service:
    """One long-running process. Everything that depends on the settings is a function of the settings."""

    name: str
    command: Callable[[Settings], list[str]]
    check_health: Callable[[Settings], str | None]
    """Returns None if the service is healthy, otherwise the reason why not."""
    check_liveness: Callable[[Settings], str | None] = lambda _: None
    """Returns None unless a restart of the service would help: never because something else is down."""
    notice: Callable[[Settings], str | None] = lambda _: None
    """Returns what an operator has to know about the service while it is healthy; None if there is nothing."""
    needs: tuple[str, ...] = ()
    """The steps that must be done before the service starts, by name: services, installations and provisioning."""
    ports: tuple[str, ...] = ()
    """The settings of the ports that it listens on; `make status` shows the first."""
    secrets: tuple[str, ...] = ()
    """The secrets that the service receives as settings. It has access to no others."""
    environment: Callable[[Settings], dict[str, str]] = lambda _: {}
    prepare: Callable[[Settings], None] = lambda _: None
    """Runs before each start of the process; must be idempotent."""
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    hopeless: Mapping[str, str] = field(default_factory=dict)
    """Health problems that waiting does not solve, with hints: a launch stops at once."""
    external: bool = False
    """Whether the platform uses it without running it: it has no process, only a health check."""
    option: str = ""
    """The option of ``make up`` that starts the service, after a space; none for one that starts by default."""
    start_seconds: int = 90
    """How long the service may take to become healthy."""


LEAN = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Saves memory and CPU. Many threads allocate: by default glibc keeps an arena for each, with its own free memory.
numpy's linear algebra library, which nothing here uses, starts threads that poll for work.
"""


def environment(service: Service, settings: Settings) -> dict[str, str]:
    """Returns the complete environment of a service: public settings, its own secrets, and its program's variables."""
    return {
        # Programs in the interpreter's folder come first: dbt and airflow start each other by name.
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(settings.home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **LEAN,
        # Process titles must not overwrite the environment, which identifies leftover processes.
        "SPT_NOENV": "1",
        **public_variables(settings),
        **secret_variables(settings, service.secrets),
        # The settings file holds the secrets of all services; no service may read it.
        "SLUICE_ENV_FILE": os.devnull,
        variable("home"): str(settings.home),
        processes.SERVICE: service.name,
        **service.environment(settings),
    }


def exec_service(service: Service, settings: Settings) -> NoReturn:
    """Replaces this process with the server, after terminating leftover processes of an earlier one.

    When a server is killed, its children survive (an Airflow task, a Postgres backend) and would run alongside those
    of the new server.
    """
    leftovers = [process for process, name in processes.owned(settings.home) if name == service.name]
    if leftovers:
        print(f"terminating leftover processes: service={service.name} count={len(leftovers)}", flush=True)
        processes.terminate(leftovers, seconds=3)
    service.prepare(settings)
    argv = service.command(settings)
    os.chdir(ROOT)
    os.execve(argv[0], argv, environment(service, settings))  # noqa: S606 - an argument list, no shell
