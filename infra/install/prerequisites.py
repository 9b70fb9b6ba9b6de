"""What the platform needs of a machine, each with a verdict and the mend."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from infra.config.ports import check_ports
from infra.servers import kafka, minio, redis, toolchains
from infra.servers.services import services
from sluice.errors import SluiceError
from sluice.settings import ROOT, Settings

MEMORY_GIB = 4.0
"""What the running platform is held to."""
DISK_GIB = 8.0
"""What installed software, Go's cache and a year of events take."""


@dataclass(frozen=True)
class Finding:
    """One look at the machine. ``note``: worth knowing, `make up` goes on; ``fault``: it cannot."""

    what: str
    verdict: Literal["ok", "note", "fault"]
    found: str
    hint: str = ""


def diagnose(settings: Settings, file: Path) -> list[Finding]:
    """Looks at everything; changes nothing."""
    looks: list[Callable[[], Finding]] = [_system, _python, _memory, lambda: _disk(settings)]
    looks += [lambda: _ports(settings, file), _maven, _java, _go, _docker]
    if settings.airflow_executor == "CeleryExecutor":
        looks.append(_redis)
    return [look() for look in looks]


def _system() -> Finding:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    if platform.system() == "Linux":
        return Finding("system", "ok", found)
    return Finding("system", "fault", found, "the servers run on Linux; use a Linux machine, or a virtual one")


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if memory.total < MEMORY_GIB * 2**30:
        return Finding("memory", "fault", found, f"the platform needs {MEMORY_GIB:.0f} GiB")
    if memory.available < MEMORY_GIB * 2**30:
        return Finding("memory", "note", found, f"end other programs: the platform uses up to {MEMORY_GIB:.0f} GiB")
    return Finding("memory", "ok", found)


def _disk(settings: Settings) -> Finding:
    place = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.0f} GiB free at {place}"
    if free < 1 * 2**30:
        return Finding("disk", "fault", found, "free some, or set SLUICE_HOME to a folder on another disk")
    if free < DISK_GIB * 2**30 and not minio.BINARY.exists():
        return Finding("disk", "note", found, f"a first launch with a year of events takes {DISK_GIB:.0f} GiB")
    return Finding("disk", "ok", found)


def _ports(settings: Settings, file: Path) -> Finding:
    names = [name for service in services(settings).values() for name in service.ports]
    try:
        check_ports(settings, names, file)
    except SluiceError as error:
        return Finding("ports", "fault", error.message, error.hint)
    return Finding("ports", "ok", ", ".join(str(getattr(settings, name)) for name in names))


def _maven() -> Finding:
    found = toolchains.find_maven()
    if found:
        return Finding("Maven", "ok", str(found))
    if kafka.JARS.exists():
        return Finding("Maven", "ok", "none, but Kafka is installed")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        return Finding("Maven", "note", "none", "`make up` installs it with apt-get")
    return Finding("Maven", "fault", "none", "run `sudo apt-get install -y maven`")


def _java() -> Finding:
    found = toolchains.find_java()
    if found is None:
        return Finding("Java", "note", "none of release 17 or later", "`make up` installs one into .tools")
    return Finding("Java", "ok", f"{_dotted(toolchains.java_version(found))} ({found})")


def _go() -> Finding:
    found = toolchains.find_go(minio.NEEDS_GO)
    if found:
        return Finding("Go", "ok", f"{_dotted(toolchains.go_version(found))} ({found})")
    if minio.BINARY.exists():
        return Finding("Go", "ok", "none, but MinIO is built")
    needs = _dotted(minio.NEEDS_GO)
    return Finding("Go", "note", f"none of release {needs} or later", "`make up` installs one into .tools")


def _redis() -> Finding:
    found = toolchains.find_redis()
    return Finding("Redis", "ok", str(found)) if found else Finding("Redis", "fault", "none", redis.HINT)


def _docker() -> Finding:
    program = shutil.which("docker")
    if program is None:
        return Finding("Docker", "ok", "none; the platform runs without it")
    command = [program, "version", "--format", "{{.Server.Version}}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return Finding("Docker", "note", "its daemon does not answer", "the platform runs without it")
    if result.returncode != 0:
        return Finding("Docker", "note", "its daemon does not run", "the platform runs without it")
    return Finding("Docker", "ok", result.stdout.strip())


def _dotted(release: tuple[int, ...] | None) -> str:
    return ".".join(map(str, release or ()))
