"""Runs transforms, in which dbt writes, audits and publishes stale rows, and dbt commands that an operator enters."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.transform import unfinished
from sluice.transform.dbt import Dbt
from sluice.transform.exclusive import exclusive
from sluice.transform.outcome import Outcome, forget_outcomes, keep_outcome, nothing_to_build, read_outcome, summary
from sluice.transform.packages import install_packages, packages_differ
from sluice.transform.project import built_digest, record_seeds, seeds_digest
from sluice.transform.sources import declare_sources
from sluice.transform.stale import create_tables, last_run, read_plan, write_plan
from sluice.transform.steps import PUBLISHING, Plan, Steps, removed_notes
from sluice.warehouse import connect

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
    notes: tuple[str, ...] = ()
    """What changes of the project mean, one line each."""
    last_run: str | None = None
    """The run that has built everything already, if nothing was left to build."""

    def text(self) -> str:
        """Returns a summary of one line."""
        return "; ".join([self._result(), *self.notes])

    def _result(self) -> str:
        if not self.nodes:
            return nothing_to_build(self.last_run)
        return summary(self.nodes, self.seconds, self.dates, resumed=self.resumed)


@dataclass(frozen=True)
class Publication:
    """What a run has published."""

    outcome: Outcome
    marts: list[str]
    """The marts that now show the run."""
    notes: tuple[str, ...] = ()
    """What changes of the project mean, one line each."""

    def text(self) -> str:
        """Returns a summary of one line."""
        return "; ".join([f"published {len(self.marts)} marts", *self.notes])


def transform(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    dbt: Dbt,
    run: str,
    log_line: Callable[[str], None],
    resume: bool = False,
) -> TransformReport:
    """Rebuilds everything that depends on stale dates, with one dbt invocation: plans, builds, tests and publishes.

    dbt writes and audits in ``staging``. Then one transaction publishes to ``marts`` and marks the dates as built. A
    model that fails costs the marts that are built from it, and dates that these still need stay stale. A transform
    that is killed, or that loses a server, leaves all marts unchanged.

    The first transform of a warehouse, and the first after a file of the dbt project has changed, runs even if no date
    is stale, so that every mart exists; so does a transform after one that could not publish every mart. It builds the
    seeds as well, unless only models have changed. A model whose columns or configuration have changed is rebuilt
    whole.

    If dbt cannot read the project, for example because a file is half-saved, the project is built as it was last built,
    so that the marts stay fresh; then the error is raised.

    ``plan``, ``build``, ``check`` and ``publish_built`` are the same as separate steps.

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
        TerminalError: dbt cannot read the project, or a model, a test or a mart failed; marts that do not depend on it
            were published.
    """
    started = time.monotonic()
    with _steps(settings, contracts, dbt, run, log_line) as steps:
        if not (resume and unfinished.is_kept(steps.folder, run)):
            steps.plan()
        outcome = steps.build(resume)
        if outcome is None:
            return TransformReport(notes=removed_notes(steps.connection), last_run=last_run(steps.connection))
        refused, notes = steps.publish(outcome)
        if error := outcome.failure() or _first(refused):
            raise error
        return TransformReport(outcome.dates, outcome.resumed, outcome.nodes, time.monotonic() - started, notes)


def plan(
    settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt, run: str, log_line: Callable[[str], None]
) -> Plan:
    """Writes the plan of a run: all stale dates. The first step of a transform.

    Raises:
        TransientError: the connection to the warehouse was lost, or another transform takes too long.
    """
    with _steps(settings, contracts, dbt, run, log_line) as steps:
        return steps.plan()


def build(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    dbt: Dbt,
    run: str,
    log_line: Callable[[str], None],
    resume: bool = False,
) -> Outcome | None:
    """Builds and tests a plan in ``staging``, with one dbt invocation, and keeps the outcome for the steps that follow.

    If the run has no plan any more, because its dates were built or something else was planned, it is planned again.

    Args:
        settings, contracts, dbt, run, log_line, resume: as in ``transform``.

    Returns:
        The outcome, also if models or tests failed; None if there is nothing to build.

    Raises:
        TransientError: the connection to the warehouse was lost, or another transform takes too long.
        TerminalError: dbt has built nothing.
    """
    with _steps(settings, contracts, dbt, run, log_line) as steps:
        outcome = steps.build(resume)
        if outcome is not None:
            keep_outcome(steps.connection, run, outcome)
        return outcome


def check(
    settings: Settings,
    contracts: dict[str, Contract],
    *,
    dbt: Dbt,
    run: str,
    log_line: Callable[[str], None],
    resume: bool = False,
) -> Outcome | None:
    """Returns what a run has built, with the results of its tests; None if nothing, or if something else was planned.

    dbt runs each test as soon as its models are built, so the tests have run already. If some failed, ``resume`` runs
    them again, and what was skipped because of them.

    Raises:
        TransientError: the connection to the warehouse was lost.
    """
    with connect(settings, "transformer") as connection:
        outcome = read_outcome(connection, run)
    if resume and outcome is not None and outcome.failure_of_tests():
        return build(settings, contracts, dbt=dbt, run=run, log_line=log_line, resume=True)
    return outcome


def publish_built(
    settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt, run: str, log_line: Callable[[str], None]
) -> Publication | None:
    """Publishes what a run has built, in one transaction, and marks its dates as built. Idempotent.

    Returns:
        What was published; None if the run has built nothing, or if something else was planned since.

    Raises:
        TransientError: the connection to the warehouse was lost, or a session holds a mart; the others were published.
        TerminalError: a mart was not published, because it failed itself or a model or test before it did.
    """
    with _steps(settings, contracts, dbt, run, log_line) as steps:
        outcome = read_outcome(steps.connection, run)
        if outcome is None:
            return None
        refused, notes = steps.publish(outcome)
        # The state of the run must not hide that something failed.
        if error := _first(refused) or _held_back(outcome) or outcome.failure():
            raise error
        return Publication(outcome, [mart.name for mart in outcome.ready.marts], notes)


def audit(settings: Settings, contracts: dict[str, Contract], *, dbt: Dbt) -> int:
    """Runs dbt's data tests on whole tables; a transform's tests read only the rows that it rebuilds.

    No transform runs at the same time.

    Returns:
        How many tests passed; 0 if nothing was built yet.

    Raises:
        TransientError: the connection to the warehouse was lost, or a transform takes too long.
        TerminalError: a test failed.
    """
    with exclusive(settings, dbt.home) as (connection, lock_fd):
        create_tables(connection)
        if built_digest(connection) is None:
            return 0
        declare_sources(contracts, dbt)
        if packages_differ(dbt):
            install_packages(dbt, lock_fd=lock_fd)
        # Without --full-refresh, tests would read only the rows of the last run.
        dbt.run("build", "--selector", "audit", "--full-refresh", inherit_fds=[lock_fd])
        return len(dbt.completed())


def run_dbt(
    settings: Settings,
    contracts: dict[str, Contract],
    arguments: Sequence[str],
    *,
    dbt: Dbt,
    log_line: Callable[[str], None],
    shell: Mapping[str, str] | None = None,
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
        shell: the environment of the user's shell, with the proxy for downloading packages.

    Raises:
        TransientError: the connection to the warehouse was lost, or a transform takes too long.
        TerminalError: dbt reported an error, or there is nothing to retry.
    """
    if arguments[:2] == ["docs", "serve"]:
        raise TerminalError("`docs serve` would keep the lock", "open /dbt on the dashboard")
    folder = dbt.home / "unfinished-by-hand"
    command = tuple(arguments)
    with exclusive(settings, dbt.home, log_line=log_line) as (connection, lock_fd):
        declare_sources(contracts, dbt)
        if command[0] == "deps":
            install_packages(dbt, lock_fd=lock_fd, arguments=command[1:], shell=shell)
            return
        if command == ("retry",):
            if not unfinished.is_kept(folder, BY_HAND) or read_plan(connection, BY_HAND) is None:
                raise TerminalError(
                    "nothing to retry: no `make dbt` build has failed, or its plan was replaced", "run the build again"
                )
            command = ("retry", "--state", str(folder))
        else:
            write_plan(connection, BY_HAND)
        if command[0] == "retry" or tuple(word for word in command if word != "--full-refresh") == PUBLISHING:
            steps = Steps(connection, lock_fd, contracts, dbt, BY_HAND, log_line, folder)
            # A retry builds only what had failed. If files have changed meanwhile, the next transform builds the rest.
            changed = None if command[0] == "retry" else steps.changed()
            seeds = seeds_digest(dbt) if changed else None
            outcome = steps.run_dbt(command, read_plan(connection, BY_HAND) or {}, changed, seeds)
            refused, notes = steps.publish(outcome)
            if error := outcome.failure() or _first(refused):
                raise error
            for note in notes:
                log_line(note)
        else:
            if packages_differ(dbt):
                install_packages(dbt, lock_fd=lock_fd, shell=shell)
            forget_outcomes(connection)
            # It may build seeds, from files that differ from those that the next transform finds.
            record_seeds(connection, None)
            # Nothing is published: a partial build has not built the whole plan.
            dbt.run(*command, inherit_fds=[lock_fd])


@contextmanager
def _steps(
    settings: Settings, contracts: dict[str, Contract], dbt: Dbt, run: str, log_line: Callable[[str], None]
) -> Iterator[Steps]:
    """Yields the steps of a run, and holds the transforms' locks meanwhile."""
    with exclusive(settings, dbt.home, log_line=log_line) as (connection, lock_fd):
        yield Steps(connection, lock_fd, contracts, dbt, run, log_line)


def _held_back(outcome: Outcome) -> SluiceError | None:
    """Returns one error for the marts that could not be published because of a failed model or test."""
    if not outcome.ready.held_back:
        return None
    name, reason = next(iter(outcome.ready.held_back.items()))
    others = f"; {len(outcome.ready.held_back) - 1} more were not" if len(outcome.ready.held_back) > 1 else ""
    return TerminalError(
        f"marts.{name} was not published: {reason}{others}; every other mart was", "see the tasks build and test"
    )


def _first(refused: Mapping[str, SluiceError]) -> SluiceError | None:
    """Returns one error for all marts that were not published. A retry helps if it helps any of them."""
    if not refused:
        return None
    errors = sorted(refused.values(), key=lambda error: not isinstance(error, TransientError))
    others = f"; {len(errors) - 1} more were not published" if len(errors) > 1 else ""
    return type(errors[0])(f"{errors[0].message}{others}; every other mart was", errors[0].hint)
