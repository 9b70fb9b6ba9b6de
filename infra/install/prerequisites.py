"""Checks the platform's prerequisites on this machine: one finding per prerequisite, with a hint on how to fix it."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from infra.config.ports import check_ports
from infra.install.finding import Finding
from infra.install.permissions import check_protection
from infra.processes.environment import shell_environment
from infra.servers import kafka, minio, redis, toolchains
from infra.servers.external import address
from infra.servers.service import Service
from infra.servers.services import services
from sluice.errors import SluiceError
from sluice.settings import ROOT, Settings

MEMORY_GIB = 4.0
"""The memory limit of the running platform."""
DISK_GIB = 8.0
"""Disk space for the installed software, Go's cache and a year of events."""


def check_prerequisites(settings: Settings, file: Path) -> list[Finding]:
    """Checks all prerequisites; changes nothing.

    Args:
        settings: the platform's settings.
        file: the settings file, named in hints.
    """
    checks: list[Callable[[], Finding]] = [_system, _python, _memory, lambda: _disk(settings)]
    checks += [lambda: check_protection(settings, file), lambda: _ports(settings, file)]
    checks += [] if settings.kafka_bootstrap else [_maven, _java]
    checks += [] if settings.s3_endpoint else [_go]
    checks += [partial(_external, service, settings) for service in services(settings).values() if service.external]
    checks.append(_docker)
    if settings.airflow_executor == "CeleryExecutor":
        checks.append(_redis)
    return [check() for check in checks]


def _system() -> Finding:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    if platform.system() == "Linux":
        return Finding("system", "ok", found)
    return Finding("system", "error", found, "use a Linux machine or a virtual one: the servers run on Linux only")


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if memory.total < MEMORY_GIB * 2**30:
        return Finding("memory", "error", found, f"use a machine with at least {MEMORY_GIB:.0f} GiB")
    if memory.available < MEMORY_GIB * 2**30:
        return Finding("memory", "warning", found, f"end other programs: the platform uses up to {MEMORY_GIB:.0f} GiB")
    return Finding("memory", "ok", found)


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.0f} GiB free in {folder}"
    if free < 1 * 2**30:
        return Finding("disk", "error", found, "free disk space, or set SLUICE_HOME to a folder on another disk")
    if free < DISK_GIB * 2**30 and not minio.BINARY.exists():
        return Finding("disk", "warning", found, f"free disk space: a year of events needs {DISK_GIB:.0f} GiB")
    return Finding("disk", "ok", found)


def _ports(settings: Settings, file: Path) -> Finding:
    names = [name for service in services(settings).values() if not service.option for name in service.ports]
    try:
        check_ports(settings, names, file)
    except SluiceError as error:
        return Finding("ports", "error", error.message, error.hint)
    return Finding("ports", "ok", ", ".join(str(getattr(settings, name)) for name in names))


def _external(service: Service, settings: Settings) -> Finding:
    problem = service.check_health(settings)
    if problem is None:
        return Finding(service.name, "ok", f"external, reachable at {address(service, settings)}")
    return Finding(service.name, "error", f"external: {problem}")


def _maven() -> Finding:
    found = toolchains.find_maven()
    if found:
        return Finding("Maven", "ok", str(found))
    if kafka.JARS.exists():
        return Finding("Maven", "ok", "none; not needed, Kafka is installed")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        return Finding("Maven", "warning", "none", "`make up` installs it with apt-get")
    return Finding("Maven", "error", "none", "run `sudo apt-get install -y maven`")


def _java() -> Finding:
    found = toolchains.find_java()
    if found is None:
        return Finding("Java", "warning", "none of version 17 or later", "`make up` installs one into .tools")
    return Finding("Java", "ok", f"{_dotted(toolchains.java_version(found))} ({found})")


def _go() -> Finding:
    found = toolchains.find_go(minio.MIN_GO_VERSION)
    if found:
        return Finding("Go", "ok", f"{_dotted(toolchains.go_version(found))} ({found})")
    if minio.BINARY.exists():
        return Finding("Go", "ok", "none; not needed, MinIO is built")
    minimum = _dotted(minio.MIN_GO_VERSION)
    return Finding("Go", "warning", f"none of version {minimum} or later", "`make up` installs one into .tools")


def _redis() -> Finding:
    found = toolchains.find_redis()
    return Finding("Redis", "ok", str(found)) if found else Finding("Redis", "error", "none", redis.HINT)


def _docker() -> Finding:
    program = shutil.which("docker")
    if program is None:
        return Finding("Docker", "ok", "none; the platform runs without it")
    command = [program, "version", "--format", "{{.Server.Version}}"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, cwd=ROOT, env=shell_environment()
        )
    except subprocess.TimeoutExpired:
        return Finding("Docker", "warning", "the engine does not respond", "the platform runs without it")
    if result.returncode != 0:
        return Finding("Docker", "warning", "the engine is down", "the platform runs without it")
    return Finding("Docker", "ok", result.stdout.strip())


def _dotted(version: tuple[int, ...] | None) -> str:
    return ".".join(map(str, version or ()))
