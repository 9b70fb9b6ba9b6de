"""A platform whose tasks run on Celery workers, and the Redis that it needs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.settings import Settings
from tests.fixtures.platform import Running, launched

PACKAGES = ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1")


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with a `redis-server`: the machine's, or Debian's package, unpacked but not installed."""
    if found := shutil.which("redis-server"):
        return Path(found).parent
    folder = tmp_path_factory.mktemp("redis")
    # The folder is readable for apt's own user. Not installed, because that would start a service on this machine.
    folder.chmod(0o755)
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True, capture_output=True)
        program = next(folder.glob("root/usr/bin/redis-server"))
        libraries = {str(path.parent) for path in folder.glob("root/usr/lib/**/*.so*")}
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        pytest.skip(f"no redis-server, and downloading Debian's package failed ({error}): install redis-server")
    wrapper = folder / "bin" / "redis-server"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={":".join(libraries)} exec {program} "$@"\n')
    wrapper.chmod(0o755)
    done = subprocess.run([wrapper, "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"Debian's redis-server does not run here ({done.stderr.strip()}): install redis-server")
    return wrapper.parent


@pytest.fixture(scope="package")
def platform(redis: Path) -> Iterator[Running]:
    """A platform with two workers."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{redis}:{os.environ['PATH']}")
        with launched(airflow_executor="CeleryExecutor", airflow_workers=2) as running:
            yield running


@pytest.fixture
def settings(platform: Running) -> Settings:
    return platform.settings
