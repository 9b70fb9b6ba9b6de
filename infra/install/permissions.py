"""Checks that the platform's files can be protected: some file systems keep no permissions (vfat, WSL's /mnt/c)."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from infra.install.finding import Finding
from sluice.settings import Settings

_HINT = "move the clone to a folder of this machine's own file system, such as one in your home folder"


def keeps_permissions(folder: Path) -> bool:
    """Returns whether a file in this folder, or in the closest one that exists, can be closed to other users."""
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        descriptor, name = tempfile.mkstemp(prefix=".sluice-", dir=existing)
    except OSError:
        # Another check reports a folder that cannot be written.
        return True
    os.close(descriptor)
    file = Path(name)
    try:
        return all(_becomes(file, mode) for mode in (0o640, 0o600))
    finally:
        file.unlink()


def _becomes(file: Path, mode: int) -> bool:
    try:
        file.chmod(mode)
    except OSError:
        return False
    return stat.S_IMODE(file.stat().st_mode) == mode


def check_protection(settings: Settings, file: Path, keeps: Callable[[Path], bool] = keeps_permissions) -> Finding:
    """Checks that passwords and data can be protected from the machine's other users.

    Args:
        settings: with the folder of the servers' data, without which Postgres does not start.
        file: the settings file, which holds the passwords.
        keeps: whether a folder keeps permissions; a test passes its own.
    """
    if not keeps(settings.home):
        found = f"the file system of {settings.home} keeps no permissions, so Postgres refuses to store data there"
        return Finding("protection", "error", found, f"{_HINT}, or set SLUICE_HOME to one")
    if not keeps(file.parent):
        found = f"the file system of {file} keeps no permissions: every user of this machine can read the passwords"
        return Finding("protection", "warning", found, f"{_HINT}, or set SLUICE_ENV_FILE to a file in one")
    return Finding("protection", "ok", "passwords and data are readable by their owner alone")
