"""The two locks of a transform: in the warehouse, and on dbt's folder."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sluice.errors import TransientError
from sluice.settings import Settings
from sluice.transform.stale import Connection, lock
from sluice.warehouse import connect

PATIENCE = timedelta(minutes=30)
"""How long a transform waits for another one to end."""


@contextmanager
def exclusive(
    settings: Settings, folder: Path, *, wait: bool = True, log_line: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Connection, int]]:
    """Yields a connection that holds the transforms' lock, and the descriptor of the lock on dbt's folder.

    Args:
        settings: with the transformer's password.
        folder: in which dbt writes.
        wait: wait for a transform that is running.
        log_line: receives a line if this had to wait.

    Raises:
        TransientError: a transform is running, or runs for longer than ``PATIENCE``; or the warehouse is down.
    """
    with exclusive_dbt_dir(folder, wait=wait) as lock_fd, connect(settings, "transformer") as connection:
        connection.autocommit = True
        if lock(connection, PATIENCE if wait else timedelta(seconds=1)):
            log_line("waited for another transform to end")
        yield connection, lock_fd


@contextmanager
def exclusive_dbt_dir(folder: Path, *, wait: bool = True) -> Iterator[int]:
    """Locks dbt's folder for one dbt at a time, and yields the lock's file descriptor.

    The lock in the warehouse ends with this process. dbt inherits this one: if dbt outlives its parent, which was
    killed, it still writes to the same tables and the same folder, and the lock lasts until it exits.

    Raises:
        TransientError: dbt is running, and this is not to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError("a transform is running", "wait for it to end") from None
        yield file.fileno()
