"""A small file system of its own for a platform, which can be filled: only root can mount it."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TOOLS = ("mkfs.ext4", "mount", "umount")
_SPARE = 4 << 30
"""Bytes that the machine's own disk keeps."""


def obstacle() -> str | None:
    """Returns why no file system can be mounted here; None if one can."""
    if os.geteuid() != 0:
        return "only root can mount a file system"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(missing)} is missing"
    if not Path("/dev/loop-control").exists():
        return "this machine has no loop devices"
    return None


@contextmanager
def mounted(folder: Path) -> Iterator[str | None]:
    """Mounts a file system at a folder that exists; yields why that is not possible, or None."""
    image = folder.with_name(f"{folder.name}.image")
    reason = obstacle() or _mount(image, folder)
    try:
        yield reason
    finally:
        if reason is None:
            _unmount(folder)
        image.unlink(missing_ok=True)


def _mount(image: Path, folder: Path) -> str | None:
    size = shutil.disk_usage(folder).free - _SPARE
    if size <= 0:
        return "this machine's disk is full"
    with image.open("wb") as file:
        # Sparse: it takes what is written.
        file.truncate(size)
    for command in (["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return " ".join(done.stderr.split()) or f"{command[0]} failed"
    # An empty folder, as the platform expects.
    (folder / "lost+found").rmdir()
    return None


def _unmount(folder: Path) -> None:
    for _ in range(20):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    # It goes once its last user has ended.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fills the file system of a folder down to its last block; frees it afterwards."""
    ballast = folder / "ballast"
    try:
        _fill(ballast)
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _fill(ballast: Path) -> None:
    """Takes the free blocks without writing them, and again those that are freed meanwhile."""
    descriptor = os.open(ballast, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        size, step = 0, os.statvfs(ballast).f_bavail * os.statvfs(ballast).f_frsize
        while step >= 4096:
            try:
                os.posix_fallocate(descriptor, size, step)
                size += step
            except OSError:
                step //= 2
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
