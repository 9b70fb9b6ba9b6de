"""A complete platform in containers for the tests, with its own project name and ports, removed afterwards."""

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
from infra.config.settings_file import PORTS, ensure_settings_file
from sluice.settings import ROOT, Settings
from tests.fixtures.platform import Running


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
            # Holds only the record of the runtime; the data is in volumes.
            "SLUICE_HOME": str(self.settings.home),
        }

    def containers(self) -> dict[str, dict[str, Any]]:
        """Returns `docker inspect` of every running container by service; of several replicas, the first."""
        names = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        inspected = json.loads(docker("inspect", *names))
        inspected.sort(key=lambda container: str(container["Name"]), reverse=True)
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in inspected}

    def healthy(self, *ignored: str) -> bool:
        """Returns whether all services except the ``ignored`` ones are healthy."""
        lines = self.sluice("status", check=False).stdout.splitlines()[1:-1]
        return len(lines) > 5 and all(
            line.split()[1] in ("healthy", "off") for line in lines if line.split()[0] not in ignored
        )


def docker(*arguments: str, check: bool = True) -> str:
    """Runs Docker's command line and returns its standard output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def engine_fault() -> str:
    """Returns the launcher's error about the engine; empty if the engine can be used."""
    script = f". {ROOT}/infra/docker.sh; engine_fault"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def without_python(folder: Path) -> str:
    """Returns a search path with every program of this machine except Python and its tools."""
    folder.mkdir()
    for directory in os.environ["PATH"].split(":"):
        for program in Path(directory).glob("*"):
            if not program.name.startswith(("python", "pip", "uv")) and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    assert not shutil.which("python3", path=str(folder))
    return str(folder)


@contextmanager
def launched(**environment: str) -> Iterator[Containers]:
    """Launches a platform without Python on the host: January replayed, no live producer. Removes it afterwards."""
    if fault := engine_fault():
        pytest.skip(fault)
    with tempfile.TemporaryDirectory(prefix="sluice-compose-", ignore_cleanup_errors=True) as folder:
        file, home = Path(folder) / "settings.env", Path(folder) / "home"
        ensure_settings_file(file, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
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
    """The platform as launched by `make up`."""
    with launched() as running:
        yield running


@pytest.fixture
def servers(platform: Containers) -> Settings:
    """The name under which tests that need only servers expect their settings."""
    return platform.settings
