"""A whole platform in containers for the tests, with a name and ports of its own, from nothing to nothing."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.config.ports import free_ports
from infra.config.settings_file import PORTS, ensure_environment
from sluice.settings import ROOT, Settings
from tests.e2e.conftest import Running


@dataclass(frozen=True)
class Containers(Running):
    """A platform that runs in containers."""

    program: tuple[str, ...] = (str(ROOT / "infra" / "sluice"),)
    project: str = ""
    path: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "RUNTIME": "docker",
            "PATH": self.path,
            "COMPOSE_PROJECT_NAME": self.project,
            # Where it notes how it was launched; its data is in volumes.
            "SLUICE_HOME": str(self.settings.home),
        }

    def all(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of every container that runs, by service; of several, the first."""
        names = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = sorted(json.loads(docker("inspect", *names)), key=lambda each: str(each["Name"]), reverse=True)
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def healthy(self, *but: str) -> bool:
        """Whether all services are, ``but`` some."""
        lines = self.sluice("status", check=False).stdout.splitlines()[1:-1]
        return len(lines) > 5 and all(
            line.split()[1] in ("healthy", "off") for line in lines if line.split()[0] not in but
        )


def docker(*arguments: str, check: bool = True) -> str:
    """Runs the engine's own command line and returns what it says."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def engine_fault() -> str:
    """What the launcher says is wrong with the engine; nothing when it can be used."""
    script = f". {ROOT}/infra/docker.sh; engine_fault"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def without_python(folder: Path) -> str:
    """A search path with every program of this machine but Python and what came with it."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for program in Path(place).glob("*"):
            if not program.name.startswith(("python", "pip", "uv")) and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    assert not shutil.which("python3", path=str(folder))
    return str(folder)


@contextmanager
def launched(**environment: str) -> Iterator[Containers]:
    """January replayed, and nothing produced after it, by a host without Python; taken down with its volumes."""
    if fault := engine_fault():
        pytest.skip(fault)
    with tempfile.TemporaryDirectory(prefix="sluice-compose-", ignore_cleanup_errors=True) as folder:
        file, home = Path(folder) / "settings.env", Path(folder) / "home"
        ensure_environment(file, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
        settings = Settings(_env_file=file, home=home)  # type: ignore[call-arg]
        path = without_python(Path(folder) / "bin")
        running = Containers(settings, file, project=f"sluice-test-{secrets.token_hex(3)}", path=path)
        os.environ.update(environment)
        try:
            running.sluice("up", "--months", "1", "--no-live", timeout=1800)
            yield running
        finally:
            for name in environment:
                del os.environ[name]
            running.sluice("clean", "--force", check=False)


@pytest.fixture(scope="module")
def platform() -> Iterator[Containers]:
    """The platform as `make up` makes it."""
    with launched() as running:
        yield running


@pytest.fixture
def servers(platform: Containers) -> Settings:
    """As in the tests of the servers alone."""
    return platform.settings
