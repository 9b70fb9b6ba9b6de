"""What the platform must know of a server to run it, and how the supervisor's child becomes that server."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from infra.config.settings_file import public_variables, secret_variables, variable
from infra.processes import processes
from sluice.settings import ROOT, Settings

TOOLS = ROOT / ".tools"
"""Servers and tool chains that the platform has installed, a folder per version."""


@dataclass(frozen=True)
class Service:
    """One long-running process. Everything that depends on the settings is a function of them."""

    name: str
    command: Callable[[Settings], list[str]]
    healthy: Callable[[Settings], str | None]
    """None when it serves, otherwise what is missing."""
    needs: tuple[str, ...] = ()
    """The steps that must be done before it starts: services by name, installations and first steps."""
    ports: tuple[str, ...] = ()
    """The settings of the ports that it listens on; the first is shown."""
    secrets: tuple[str, ...] = ()
    """The secrets it is given as settings. It sees no others."""
    environment: Callable[[Settings], dict[str, str]] = lambda _: {}
    prepare: Callable[[Settings], None] = lambda _: None
    """Run before each start of the process; must be harmless when there is nothing to prepare."""
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    start_seconds: int = 90
    """How long it may take until it is healthy."""


LEAN = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Many threads allocate: without this glibc keeps an arena for each, and in each what is free. numpy's library for
linear algebra, which nothing here uses, starts threads of its own, that look for work.
"""


def environment(service: Service, settings: Settings) -> dict[str, str]:
    """All that a service's process finds in its environment: its own settings and secrets, and what it expects."""
    return {
        # Programs beside the interpreter first (dbt and airflow call one another by name).
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(settings.home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **LEAN,
        # Process titles must not overwrite the environment, by which leftovers are found.
        "SPT_NOENV": "1",
        **public_variables(settings),
        **secret_variables(settings, service.secrets),
        # The settings file holds the secrets of all; a service must not find it.
        "SLUICE_ENV_FILE": os.devnull,
        variable("home"): str(settings.home),
        processes.SERVICE: service.name,
        **service.environment(settings),
    }


def become(service: Service, settings: Settings) -> NoReturn:
    """Turns this process into the server, after ending what an earlier one left behind.

    When a server is killed, its children go on (a task of Airflow's, a backend of Postgres') and would work beside
    those of the next one.
    """
    leftovers = [process for process, name in processes.owned(settings.home) if name == service.name]
    if leftovers:
        print(f"ending {len(leftovers)} leftover processes of {service.name}", flush=True)
        processes.end(leftovers, seconds=3)
    service.prepare(settings)
    argv = service.command(settings)
    os.chdir(ROOT)
    os.execve(argv[0], argv, environment(service, settings))  # noqa: S606 - a list of words, no shell
