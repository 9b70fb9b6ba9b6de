"""Runs transforms, in which dbt writes, audits and publishes stale rows, and dbt commands that an operator enters."""

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.transform import unfinished
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import readiness, tables_with_models
from sluice.transform.publish import any_refused, publish
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

    dbt writes and audits in ``staging``. Then one transaction publishes to ``marts`` and marks the dates as built. A
    model that fails costs the marts that are built from it, and dates that these still need stay stale. A transform
    that is killed, or that loses a server, leaves all marts unchanged.

    The first transform of a warehouse, and the first after a reference table's file has changed, builds the reference
    tables beforehand. Such a transform runs even if no date is stale, so that every mart exists; so does a transform
    after one that could not publish every mart.

    Args:
        settings: with the transformer's password.
        contracts: by stream; dbt's sources are derived from them.
        dbt: runs the commands.
        run: name of the run; a retry has the same name.
        log_line: receives progress, line by line.
        resume: resume an earlier attempt of the same run, if that one left a record.

    Raises:
        TransientError: the connection to the warehouse was lost, another transform takes too long, or a session holds a
            mart; the other marts were published.
        TerminalError: a model, a test or a mart failed; marts that do not depend on it were published.
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
        if not dates and not seeds and not resumed and not any_refused(connection):
            return TransformReport()
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
        seed_failure, seed_results = _build_seeds(dbt, lock_fd, log_line) if seeds else (None, [])
        command = ("retry", "--state", str(folder)) if resumed else PUBLISHING
        failure = _build_and_publish(connection, dbt, command, folder, run, lock_fd, log_line, seed_results)
        if seed_failure:
            # A retry has to build the reference tables, too.
            unfinished.forget(folder)
            raise seed_failure
        if seeds:
            record_seeds(dbt)
        if failure:
            raise failure
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
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
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
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
        if command == ("retry",):
            if not unfinished.is_kept(folder, BY_HAND) or read_plan(connection, BY_HAND) is None:
                raise TerminalError(
                    "nothing to retry: no `make dbt` build has failed, or its plan was replaced", "run the build again"
                )
            command = ("retry", "--state", str(folder))
        else:
            write_plan(connection, BY_HAND)
        if command[0] == "retry" or tuple(word for word in command if word != "--full-refresh") == PUBLISHING:
            if failure := _build_and_publish(connection, dbt, command, folder, BY_HAND, lock_fd, log_line):
                raise failure
        else:
            # Nothing is published: a partial build has not built the whole plan.
            dbt.run(*command, inherit_fds=[lock_fd])


def _build_seeds(
    dbt: Dbt, lock_fd: int, log_line: Callable[[str], None]
) -> tuple[TerminalError | None, list[dict[str, str]]]:
    """Builds the reference tables. Returns the error, if one of them or its test failed, and dbt's results."""
    log_line("building the reference tables first")
    try:
        dbt.run("build", "--selector", "setup", inherit_fds=[lock_fd])
    except TerminalError as error:
        if not dbt.can_be_retried():
            raise
        return error, dbt.read_results()
    return None, []


def _build_and_publish(
    connection: Connection,
    dbt: Dbt,
    command: Sequence[str],
    folder: Path,
    run: str,
    lock_fd: int,
    log_line: Callable[[str], None],
    seed_results: Sequence[dict[str, str]] = (),
) -> SluiceError | None:
    """Builds the plan of ``run`` and publishes what was built and passed its tests, and needs no failed seed.

    If the plan is not complete afterwards, dbt's record is kept, so that a retry of the same run resumes it.

    Returns:
        Why some marts were not published; None if all were.

    Raises:
        SluiceError: nothing was published.
    """
    failure: SluiceError | None = None
    try:
        dbt.run(*command, inherit_fds=[lock_fd])
    except SluiceError as error:
        if not dbt.can_be_retried():
            unfinished.forget(folder)
            raise
        unfinished.keep(folder, run, dbt.results)
        # A model that has lost its server is built again soon, and until then no mart changes. If that fails as well,
        # the fault may be the model's own, such as a query that always runs out of memory.
        if isinstance(error, TransientError) and command[0] != "retry":
            raise
        failure = error
    ready = readiness(dbt.read_manifest(), [*seed_results, *dbt.read_results()])
    refused = publish(connection, ready, log_line=log_line)
    if ready.complete:
        unfinished.forget(folder)
    for name, reason in ready.held_back.items():
        log_line(f"marts.{name} was not published: {reason}")
    for refusal in refused.values():
        log_line(str(refusal))
    return failure or (_first(refused) if refused else None)


def _first(refused: Mapping[str, SluiceError]) -> SluiceError:
    """Returns one error for all marts that were not published. A retry helps if it helps any of them."""
    errors = sorted(refused.values(), key=lambda error: not isinstance(error, TransientError))
    others = f"; {len(errors) - 1} more were not published" if len(errors) > 1 else ""
    return type(errors[0])(f"{errors[0].message}{others}; every other mart was", errors[0].hint)


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
