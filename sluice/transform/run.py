"""Runs transforms, in which dbt writes, audits and publishes stale rows, and dbt commands that an operator enters."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.transform import unfinished
from sluice.transform.dbt import Dbt, ProjectError
from sluice.transform.exclusive import exclusive
from sluice.transform.lineage import builds_part, descendants, marts_of, readiness, tables_with_models
from sluice.transform.packages import install_packages, packages_differ
from sluice.transform.project import (
    Changes,
    built_digest,
    built_manifest,
    find_changes,
    last_built,
    project_digest,
    record_built,
)
from sluice.transform.publish import any_refused, publish
from sluice.transform.removed import known_removed, warning
from sluice.transform.sources import write_sources
from sluice.transform.stale import (
    Connection,
    create_tables,
    last_run,
    mark_whole,
    read_plan,
    read_whole,
    record_last_run,
    write_plan,
)

PUBLISHING = ("build", "--selector", "transform")
"""The dbt command that builds, audits and publishes a plan."""
PROJECT = ("build", "--selector", "project")
"""The same for a project that has changed: it also builds the seeds."""
_MAX_FILES = 5
"""How many files an error names."""
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
        return "; ".join([self.result(), *self.notes])

    def result(self) -> str:
        """Returns what was built, in a few words."""
        if not self.nodes:
            nothing = "nothing to build: no date and no model has changed since"
            return f"{nothing} {f'run {self.last_run}' if self.last_run else 'the last transform'}"
        counts = ", ".join(f"{stream} {len(days)}" for stream, days in self.dates.items())
        verb = "resumed; built" if self.resumed else "built"
        reason = f"the stale dates of {counts}" if counts else "models and seeds, without a stale date"
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

    The first transform of a warehouse, and the first after a file of the dbt project has changed, builds the seeds as
    well. Such a transform runs even if no date is stale, so that every mart exists; so does a transform after one that
    could not publish every mart. A model whose columns or configuration have changed is rebuilt whole.

    If dbt cannot read the project, for example because a file is half-saved, the project is built as it was last built,
    so that the marts stay fresh; then the error is raised.

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
        ProjectError: dbt cannot read the project.
        TerminalError: a model, a test or a mart failed; marts that do not depend on it were published.
    """
    started = time.monotonic()
    folder = dbt.home / "unfinished"
    with exclusive(settings, dbt.home, log_line=log_line) as (connection, lock_fd):
        dates = read_plan(connection, run) if resume and unfinished.is_kept(folder, run) else None
        resumed = dates is not None
        if dates is None:
            unfinished.forget(folder)
            dates = write_plan(connection, run)
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
        digest = project_digest(dbt)
        changed = built_digest(connection) != digest
        if not (dates or changed or resumed or any_refused(connection) or read_whole(connection)):
            return TransformReport(notes=_removed(connection), last_run=last_run(connection))
        command = ("retry", "--state", str(folder)) if resumed else PROJECT if changed else PUBLISHING
        # A retry builds only what had failed. If files have changed meanwhile, the next transform builds the rest.
        build = _Build(connection, dbt, folder, run, lock_fd, log_line, digest if changed and not resumed else None)
        try:
            nodes, notes = build.publish(command)
        except ProjectError as error:
            raise build.publish_last_built(error, bool(dates)) from error
        report = TransformReport(dates, resumed, nodes, time.monotonic() - started, notes)
        record_last_run(connection, run, report.result())
        return report


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
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
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
        write_sources(contracts, dbt.generated, tables_with_models(dbt.read_manifest_if_any()))
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
            digest = project_digest(dbt)
            changed = command[0] != "retry" and built_digest(connection) != digest
            build = _Build(connection, dbt, folder, BY_HAND, lock_fd, log_line, digest if changed else None)
            nodes, notes = build.publish(command)
            record_last_run(connection, BY_HAND, f"built {nodes} dbt nodes")
            for note in notes:
                log_line(note)
        else:
            if packages_differ(dbt):
                install_packages(dbt, lock_fd=lock_fd, shell=shell)
            # Nothing is published: a partial build has not built the whole plan.
            dbt.run(*command, inherit_fds=[lock_fd])


@dataclass(frozen=True)
class _Build:
    """Builds a plan, and publishes what was built and passed its tests."""

    connection: Connection
    dbt: Dbt
    folder: Path
    """For dbt's record of a build that failed, so that a retry of the same run resumes it."""
    run: str
    lock_fd: int
    log_line: Callable[[str], None]
    changed: str | None
    """The digest of the project, if it has changed since it was last built."""

    def publish(self, command: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        """Runs a dbt command that builds the plan, and publishes what is ready.

        Returns:
            How many nodes dbt completed, and notes on what the changes of the project mean.

        Raises:
            SluiceError: nothing, or not every mart was published.
        """
        if packages_differ(self.dbt):
            install_packages(self.dbt, lock_fd=self.lock_fd)
        failure, nodes, rebuilt = self._build(command)
        manifest, results = self.dbt.read_manifest(), self.dbt.read_results()
        changes = Changes()
        if self.changed and (built := built_manifest(self.connection)):
            changes = find_changes(built, manifest)
        # If a model failed, the next transform rebuilds what is marked.
        if mark_whole(self.connection, changes.whole) and not failure:
            models = _names(manifest, changes.whole)
            failure, more, also = self._build(("build", "--exclude", "test_type:unit", "--select", *models))
            nodes, results, rebuilt = nodes + more, [*results, *self.dbt.read_results()], rebuilt | also
        ready = readiness(manifest, results)
        rebuilt -= set(ready.suspects)
        notes = _notes(manifest, rebuilt, set() if "--full-refresh" in command else changes.new_rule - rebuilt)
        gone = set(read_whole(self.connection)).difference(manifest["nodes"])
        refused = publish(self.connection, ready, rebuilt | gone, log_line=self.log_line)
        if ready.complete:
            unfinished.forget(self.folder)
        if self.changed and not any(name.startswith("seed.") for name in ready.suspects):
            # Seeds are only built by a build of the whole project.
            record_built(self.connection, self.changed if tuple(command) == PROJECT else "", manifest, self.dbt)
        notes += _removed(self.connection)
        for name, reason in ready.held_back.items():
            self.log_line(f"marts.{name} was not published: {reason}")
        for refusal in refused.values():
            self.log_line(str(refusal))
        if failure or refused:
            for note in notes:
                self.log_line(note)
            raise failure or _first(refused)
        return nodes, notes

    def publish_last_built(self, error: ProjectError, stale: bool) -> ProjectError:
        """Builds a plan that has stale dates with the project as it was last built. A failed model is only logged.

        Returns:
            The error, with the files that have changed since.

        Raises:
            TransientError: the connection to the warehouse was lost.
        """
        with last_built(self.connection, self.dbt) as changed:
            if changed is None:
                return error
            if stale:
                self.log_line("building the project as it was last built")
                try:
                    replace(self, changed=None).publish(PUBLISHING)
                except TerminalError as failure:
                    self.log_line(str(failure))
        files = ", ".join(changed[:_MAX_FILES]) + (" and others" if len(changed) > _MAX_FILES else "")
        message = f"{error.message}; until that is fixed, the project is built as it was before {files} changed"
        return ProjectError(message, error.hint)

    def _build(self, command: Sequence[str]) -> tuple[SluiceError | None, int, set[str]]:
        """Runs dbt until it has built everything that it can.

        A model whose table has other columns fails without a change. It is marked for rebuilding it whole, with what is
        built from it, and dbt resumes. If the plan is not complete afterwards, dbt's record is kept.

        Returns:
            The error, if a node failed; how many nodes dbt completed; and the models of which it has rebuilt all rows.

        Raises:
            SluiceError: dbt has built nothing, or has lost the warehouse.
        """
        nodes, rebuilt, resumed = 0, set[str](), command[0] == "retry"
        while True:
            marked = set(read_whole(self.connection))
            try:
                self.dbt.run(*command, inherit_fds=[self.lock_fd])
            except SluiceError as error:
                if not self.dbt.can_be_retried():
                    unfinished.forget(self.folder)
                    raise
                unfinished.keep(self.folder, self.run, self.dbt.results)
                nodes, rebuilt = nodes + len(self.dbt.completed()), rebuilt | marked.intersection(self.dbt.completed())
                if self._mark_other_columns():
                    command = ("retry", "--state", str(self.folder))
                    continue
                # A model that has lost its server is built again soon, and until then no mart changes. If that fails as
                # well, the fault may be the model's own, such as a query that always runs out of memory.
                if isinstance(error, TransientError) and not resumed:
                    raise
                return error, nodes, rebuilt
            return None, nodes + len(self.dbt.completed()), rebuilt | marked.intersection(self.dbt.completed())

    def _mark_other_columns(self) -> bool:
        """Marks the models that failed because of their columns; returns whether dbt can build one of them now."""
        failed = self.dbt.with_other_columns()
        manifest = self.dbt.read_manifest()
        affected = descendants(manifest, failed)
        models = [name for name in affected if name.startswith("model.")]
        marked = mark_whole(self.connection, models)
        names = _names(manifest, [name for name in failed if name in marked])
        if names:
            self.log_line(f"columns have changed, rebuilding all rows and what is built from them: {', '.join(names)}")
        return bool(names)


def _notes(manifest: Mapping[str, Any], rebuilt: Iterable[str], new_rule: Iterable[str]) -> tuple[str, ...]:
    """Returns what changes of models that rebuild only stale rows mean for the history of the marts."""
    marts = {mart.model for mart in marts_of(manifest) if builds_part(manifest["nodes"][mart.model])}
    notes = []
    if names := _names(manifest, marts.intersection(rebuilt)):
        notes.append(f"rebuilt all rows, because columns or configuration have changed: {', '.join(names)}")
    if names := _names(manifest, marts.intersection(new_rule)):
        notes.append(
            f"SQL has changed, which earlier rows do not follow: {', '.join(names)}. Hint:"
            " `make backfill FROM=… TO=… WHAT=marts` rebuilds a range of dates, and"
            ' `make dbt A="build --selector transform --full-refresh"` everything'
        )
    return tuple(notes)


def _names(manifest: Mapping[str, Any], ids: Iterable[str]) -> list[str]:
    return sorted(manifest["nodes"][name]["name"] for name in ids)


def _removed(connection: Connection) -> tuple[str, ...]:
    names = known_removed(connection)
    return (warning(names),) if names else ()


def _first(refused: Mapping[str, SluiceError]) -> SluiceError:
    """Returns one error for all marts that were not published. A retry helps if it helps any of them."""
    errors = sorted(refused.values(), key=lambda error: not isinstance(error, TransientError))
    others = f"; {len(errors) - 1} more were not published" if len(errors) > 1 else ""
    return type(errors[0])(f"{errors[0].message}{others}; every other mart was", errors[0].hint)
