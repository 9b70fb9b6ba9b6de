"""dbt packages (`packages.yml`): installed beside dbt's other files, because the project's folder may be read-only."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluice.errors import SluiceError
from sluice.settings import file_variables
from sluice.transform.dbt import PACKAGE_FILES, SECRET_PREFIX, Dbt, ProjectError
from sluice.transform.exclusive import exclusive_dbt_dir

_LOCK = "package-lock.yml"
"""dbt's record of the versions that it has chosen."""
_FOR_DOWNLOADS = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("ssl_cert_file", "requests_ca_bundle", "curl_ca_bundle", "git_ssl_cainfo", "ssh_auth_sock"),
)
"""Environment variables of the user's shell that downloads need, in lower case."""
_NO_SECRET = re.compile(rf"Env var required but not provided: '({SECRET_PREFIX}\w+)'")
_UNREACHABLE = re.compile(r"connection|timed out|could not resolve|failed to resolve", re.IGNORECASE)


def update_packages(dbt: Dbt, shell: Mapping[str, str]) -> bool:
    """Installs the packages that the project names, if it names others than those that are installed.

    Args:
        dbt: runs the command.
        shell: the environment of the user's shell, with the proxy and the certificates for downloads. The credentials
            are there, too, or in the settings file.

    Returns:
        Whether packages were installed.

    Raises:
        SluiceError: as ``install_packages``.
    """
    with exclusive_dbt_dir(dbt.home) as lock_fd:
        differ = packages_differ(dbt)
        if differ:
            install_packages(dbt, lock_fd=lock_fd, shell=shell)
        return differ


def packages_differ(dbt: Dbt) -> bool:
    """Returns whether the project names other packages than those that are installed."""
    digest_file = _digest_file(dbt)
    return (digest_file.read_text() if digest_file.exists() else _digest([])) != _digest(_files(dbt))


def install_packages(
    dbt: Dbt, *, lock_fd: int, arguments: Sequence[str] = (), shell: Mapping[str, str] | None = None
) -> None:
    """Installs the packages that the project names, with `dbt deps`; if that fails, those that are installed stay.

    dbt writes to the folder that it installs from, so that is one of links to the project's files. The versions are
    those of the project's lock. If it has none, they stay what an earlier installation has chosen, until the project
    names other packages.

    Args:
        dbt: runs the command.
        lock_fd: the descriptor of the lock on dbt's folder, which the caller holds.
        arguments: options of `dbt deps`.
        shell: as for ``update_packages``.

    Raises:
        ProjectError: dbt cannot install the packages, or their server cannot be reached.
    """
    draft, folder, lock = dbt.home / "packages.draft", dbt.home / "deps", dbt.home / _LOCK
    for path in (draft, folder):
        shutil.rmtree(path, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in dbt.project.iterdir():
        if path.name != _LOCK:
            (folder / path.name).symlink_to(path.resolve())
    for known in (dbt.project / _LOCK, lock):
        if known.exists():
            shutil.copyfile(known, folder / _LOCK)
            break
    files = _files(dbt)
    variables = file_variables(SECRET_PREFIX) | {
        name: value
        for name, value in (shell or {}).items()
        if name.lower() in _FOR_DOWNLOADS or name.startswith(SECRET_PREFIX)
    }
    # Git is found by the path, and its settings by the home.
    variables |= {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": str(Path.home())}
    if files:
        try:
            dbt.run(
                "deps",
                *arguments,
                inherit_fds=[lock_fd],
                project=folder,
                variables=variables | {"SLUICE_DBT_PACKAGES": str(draft)},
            )
        except SluiceError as error:
            raise _failure(error) from error
    draft.mkdir(exist_ok=True)
    for package in draft.iterdir():
        # Git records the URL that it has cloned from, with the credentials. What is local is a link.
        if not package.is_symlink() and (package / ".git").is_dir():
            shutil.rmtree(package / ".git")
    shutil.rmtree(dbt.packages, ignore_errors=True)
    draft.rename(dbt.packages)
    if (folder / _LOCK).exists():
        shutil.copyfile(folder / _LOCK, lock)
    _digest_file(dbt).write_text(_digest(files))


def _failure(error: SluiceError) -> SluiceError:
    message = f"dbt packages cannot be installed: {error.message.removeprefix('dbt: ')}"
    if secret := _NO_SECRET.search(message):
        return ProjectError(message, f"set {secret[1]} in .env and run `make up`: transforms have no credentials")
    if _UNREACHABLE.search(message):
        return ProjectError(message, "run `make up`, which uses the proxy of the shell")
    return ProjectError(message, "correct packages.yml; the next transform installs them")


def _digest_file(dbt: Dbt) -> Path:
    return dbt.home / "packages.sha256"


def _files(dbt: Dbt) -> list[Path]:
    """Returns the files that determine the packages; none if the project names no package."""
    requests = [path for name in PACKAGE_FILES if (path := dbt.project / name).exists()]
    lock = dbt.project / _LOCK
    return [*requests, lock] if requests and lock.exists() else requests


def _digest(files: list[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()
