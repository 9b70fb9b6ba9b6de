"""Runs transforms, in which dbt writes, audits and publishes stale rows, and dbt commands that an operator enters."""

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError
from sluice.settings import Settings
from sluice.transform import unfinished
from sluice.transform.dbt import Dbt
from sluice.transform.seeds import record_seeds, seeds_differ
from sluice.transform.sources import write_sources
from sluice.transform.stale import Connection, lock, read_plan, write_plan
from sluice.warehouse import connect

PATIENCE = timedelta(minutes=30)
"""How long a transform waits for another one to end."""
PUBLISHING = ("build", "--selector", "transform")
"""The dbt command that builds, audits and publishes a plan."""
BY_HAND = "make dbt"
"""The run name of dbt commands that an operator enters."""


@dataclass(frozen=True)
class TransformReport:
    """The result of a transform."""

    dates: dict[str, list[date]] = field(default_factory=dict)
    """Event dates per stream that were rebuilt; empty if nothing was stale."""
    resumed: bool = False
    """Whether this attempt resumed an earlier one."""
    nodes: int = 0
    """Models and tests that dbt completed in this attempt."""
    seconds: float = 0.0

    def text(self) -> str:
        """Returns a summary of one line."""
        if not self.nodes:
            return "nothing to build: no date has changed since the last transform"
        counts = ", ".join(f"{stream} {len(days)}" for stream, days in self.dates.items())
        verb = "resumed; built" if self.resumed else "built"
        reason = f"the stale dates of {counts}" if counts else "the reference tables"
        return f"{verb} {self.nodes} dbt nodes in {self.seconds:.1f} s for {reason}"


def transform(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    dbt: Dbt,
    run: str,
    log_line: Callable[[str], None],
    resume: bool = False,
) -> TransformReport:
    """Rebuilds everything that depends on stale dates, with one dbt invocation.

    dbt writes and audits in ``staging``; at its end it publishes to ``marts`` and marks the dates as built, in one
    transaction (``dbt/macros/write_audit_publish``). A transform that fails at any point leaves the marts unchanged.

    The first transform of a warehouse, and the first after a reference table's file has changed, builds the reference
    tables beforehand. Such a transform runs even if no date is stale, so that every mart exists.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are derived from them.
        dbt: runs the commands.
        run: name of the run; a retry has the same name.
        log_line: receives progress, line by line.
        resume: resume an earlier attempt of the same run, if that one left a record.

    Raises:
        TransientError: the connection to the warehouse was lost, or another transform takes too long.
        TerminalError: dbt reported an error.
    """
    started = time.monotonic()
    folder = dbt.home / "unfinished"
    with _exclusive(settings, dbt, log_line) as (connection, lock_fd):
        dates = read_plan(connection, run) if resume and unfinished.is_kept(folder, run) else None
        resumed = dates is not None
        if dates is None:
            unfinished.forget(folder)
            dates = write_plan(connection, run)
        seeds = not resumed and seeds_differ(connection, dbt)
        if not dates and not seeds and not resumed:
            return TransformReport()
        write_sources(contracts, dbt.generated)
        if seeds:
            log_line("building the reference tables first")
            dbt.run("build", "--selector", "setup", inherit_fds=[lock_fd])
        command = ("retry", "--state", str(folder)) if resumed else PUBLISHING
        _run_resumable(dbt, command, run, folder, lock_fd)
        if seeds:
            record_seeds(dbt)
        return TransformReport(dates, resumed, dbt.built(), time.monotonic() - started)


def audit(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> int:
    """Runs dbt's data tests on whole tables; a transform's tests read only the rows that it rebuilds.

    No transform runs at the same time.

    Returns:
        How many tests passed; 0 if nothing was built yet.

    Raises:
        TransientError: the connection to the warehouse was lost, or a transform takes too long.
        TerminalError: a test failed.
    """
    with _exclusive(settings, dbt) as (connection, lock_fd):
        if seeds_differ(connection, dbt):
            return 0
        write_sources(contracts, dbt.generated)
        # Without --full-refresh, tests would read only the rows of the last run.
        dbt.run("build", "--selector", "audit", "--full-refresh", inherit_fds=[lock_fd])
        return dbt.built()


def run_dbt(
    settings: Settings,
    contracts: dict[str, Contract],
    arguments: Sequence[str],
    *,
    dbt: Dbt,
    log_line: Callable[[str], None],
) -> None:
    """Runs a dbt command that an operator enters, under the lock of the transforms.

    Every command has a plan of its own, with all stale dates. Only a whole build (``build --selector transform``, with
    or without ``--full-refresh``) and its ``retry`` publish it.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are derived from them.
        arguments: of dbt's command line, for example ``["build", "--selector", "transform", "--full-refresh"]``.
        dbt: runs the command.
        log_line: receives progress, line by line.

    Raises:
        TransientError: the connection to the warehouse was lost, or a transform takes too long.
        TerminalError: dbt reported an error, or there is nothing to retry.
    """
    if arguments[:2] == ["docs", "serve"]:
        raise TerminalError("`docs serve` would keep the lock", "open /dbt on the dashboard")
    folder = dbt.home / "unfinished-by-hand"
    command = tuple(arguments)
    with _exclusive(settings, dbt, log_line) as (connection, lock_fd):
        write_sources(contracts, dbt.generated)
        if command == ("retry",):
            if not unfinished.is_kept(folder, BY_HAND) or read_plan(connection, BY_HAND) is None:
                raise TerminalError(
                    "nothing to retry: no `make dbt` build has failed, or its plan was replaced", "run the build again"
                )
            command = ("retry", "--state", str(folder))
        else:
            write_plan(connection, BY_HAND)
        if command[0] == "retry" or tuple(word for word in command if word != "--full-refresh") == PUBLISHING:
            _run_resumable(dbt, command, BY_HAND, folder, lock_fd)
        else:
            # Without a name, dbt publishes nothing: a partial build has not built the whole plan.
            dbt.run(*command, inherit_fds=[lock_fd])


def _run_resumable(dbt: Dbt, command: Sequence[str], run: str, folder: Path, lock_fd: int) -> None:
    """Runs a build that publishes the plan of ``run``. If it fails, its record is kept for a retry."""
    try:
        dbt.run(*command, run_name=run, inherit_fds=[lock_fd])
    except SluiceError:
        if dbt.can_be_retried():
            unfinished.keep(folder, run, dbt.results)
        else:
            unfinished.forget(folder)
        raise
    unfinished.forget(folder)


@contextmanager
def _exclusive(
    settings: Settings, dbt: Dbt, log_line: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Connection, int]]:
    """Yields a connection that holds the transforms' lock, and the descriptor of the lock on dbt's folder."""
    with exclusive_dbt_dir(dbt.home) as lock_fd, connect(settings, "transformer") as connection:
        connection.autocommit = True
        if lock(connection, PATIENCE):
            log_line("waited for another transform to end")
        yield connection, lock_fd


@contextmanager
def exclusive_dbt_dir(folder: Path) -> Iterator[int]:
    """Locks dbt's folder for one dbt at a time, and yields the lock's file descriptor.

    The lock in the warehouse ends with this process. dbt inherits this one: if dbt outlives its parent, which was
    killed, it still writes to the same tables and the same folder, and the lock lasts until it exits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
