"""The steps of a transform: plan, build and test, publish. Each runs while the transforms' locks are held."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sluice.contracts import Contract
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.transform import unfinished
from sluice.transform.archive import pack
from sluice.transform.dbt import PASSED, Dbt, ProjectError
from sluice.transform.lineage import builds_part, descendants, marts_of, readiness
from sluice.transform.outcome import Outcome, described, failed_results, forget_outcomes, nothing_to_build
from sluice.transform.packages import install_packages, packages_differ
from sluice.transform.project import (
    Changes,
    built_digest,
    built_manifest,
    built_seeds,
    description,
    find_changes,
    last_built,
    project_digest,
    record_built,
    record_seeds,
    seeds_digest,
)
from sluice.transform.publish import any_refused, publish
from sluice.transform.removed import known_removed, warning
from sluice.transform.sources import declare_sources
from sluice.transform.stale import (
    Connection,
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
"""The same for a new warehouse, and for a project of which a file has changed that seeds may depend on."""
_MAX_FILES = 5
"""How many files an error names."""


@dataclass(frozen=True)
class Plan:
    """What a run rebuilds."""

    dates: dict[str, list[date]]
    """All stale dates, per stream."""
    due: bool
    """Whether there is anything to build: dates, changed models, or marts that an earlier run has left."""
    notes: tuple[str, ...] = ()
    """Marts that no model builds any more."""
    last_run: str | None = None
    """The run that has built everything already, if nothing is left to build."""

    def text(self) -> str:
        """Returns a summary of one line."""
        counts = ", ".join(f"{stream} {len(days)}" for stream, days in self.dates.items())
        found = f"stale dates: {counts}" if counts else "no stale date, but models to build"
        return "; ".join([found if self.due else nothing_to_build(self.last_run), *self.notes])


class Steps:
    """The steps of a transform, while its locks are held."""

    def __init__(
        self,
        connection: Connection,
        lock_fd: int,
        contracts: dict[str, Contract],
        dbt: Dbt,
        run: str,
        log_line: Callable[[str], None],
        folder: Path | None = None,
    ) -> None:
        self.connection = connection
        self.lock_fd = lock_fd
        self.contracts = contracts
        self.dbt = dbt
        self.run = run
        self.log_line = log_line
        self.folder = folder or dbt.home / "unfinished"
        """For dbt's record of a build that failed, so that a retry of the same run resumes it."""

    def plan(self) -> Plan:
        """Writes a new plan, which replaces any other."""
        unfinished.forget(self.folder)
        dates = write_plan(self.connection, self.run)
        due = self._is_due(dates, self._prepare())
        if due:
            return Plan(dates, due)
        return Plan(dates, due, removed_notes(self.connection), last_run(self.connection))

    def build(self, resume: bool) -> Outcome | None:
        """Runs dbt for the plan of the run; returns None if there is nothing to build."""
        dates = read_plan(self.connection, self.run)
        resumed = resume and dates is not None and unfinished.is_kept(self.folder, self.run)
        if not resumed:
            unfinished.forget(self.folder)
        if dates is None:
            dates = write_plan(self.connection, self.run)
        changed = self._prepare()
        if not (self._is_due(dates, changed) or resumed):
            return None
        # A retry builds only what had failed. If files have changed meanwhile, the next transform builds the rest.
        # Before dbt reads the files: what is saved meanwhile has not been built for certain.
        seeds = seeds_digest(self.dbt) if changed else None
        whole = changed and built_seeds(self.connection) != seeds
        command = ("retry", "--state", str(self.folder)) if resumed else PROJECT if whole else PUBLISHING
        try:
            return self.run_dbt(command, dates, None if resumed else changed, seeds)
        except ProjectError as error:
            return self._build_last_built(error, dates)

    def _build_last_built(self, error: ProjectError, dates: dict[str, list[date]]) -> Outcome:
        """Builds a plan that has stale dates with the project as it was last built.

        Raises:
            ProjectError: nothing was built.
            TransientError: the connection to the warehouse was lost.
        """
        with last_built(self.connection, self.dbt) as changed:
            if changed is None:
                raise error
            files = ", ".join(changed[:_MAX_FILES]) + (" and others" if len(changed) > _MAX_FILES else "")
            message = f"{error.message}; until that is fixed, the project is built as it was before {files} changed"
            unreadable = ProjectError(message, error.hint)
            if not dates:
                raise unreadable from error
            self.log_line("building the project as it was last built")
            try:
                outcome = self.run_dbt(PUBLISHING, dates, changed=None, seeds=None)
            except TerminalError as second:
                self.log_line(str(second))
                raise unreadable from error
        if failure := outcome.failure():
            self.log_line(str(failure))
        return replace(outcome, unreadable=described(unreadable))

    def run_dbt(
        self, command: Sequence[str], dates: dict[str, list[date]], changed: str | None, seeds: str | None
    ) -> Outcome:
        """Runs a dbt command that builds the plan; returns what it has built, and what the project's changes mean.

        Args:
            command: of dbt.
            dates: the plan.
            changed: the project's digest, as ``changed`` returned it, if it counts as built afterwards.
            seeds: the digest of the seeds' files at that time, if so.

        Raises:
            SluiceError: dbt has built nothing, or has lost the warehouse.
        """
        started = time.monotonic()
        if packages_differ(self.dbt):
            install_packages(self.dbt, lock_fd=self.lock_fd)
        forget_outcomes(self.connection)
        if builds_seeds := tuple(command) == PROJECT:
            record_seeds(self.connection, None)
        built = self._build(command)
        manifest, results = description(self.dbt), self.dbt.read_results()
        changes = Changes()
        if changed and (previous := built_manifest(self.connection)):
            changes = find_changes(previous, manifest)
        # If a model failed, the next transform rebuilds what is marked.
        if mark_whole(self.connection, changes.whole) and not built.failure:
            models = _names(manifest, changes.whole)
            built += self._build(("build", "--exclude", "test_type:unit", "--select", *models))
            results += self.dbt.read_results()
        ready = readiness(manifest, results)
        rebuilt = built.whole.difference(ready.suspects)
        new_rule = set() if "--full-refresh" in command else changes.new_rule - rebuilt
        notes = _notes(manifest, rebuilt & built.marked, new_rule)
        gone = set(read_whole(self.connection)).difference(manifest["nodes"])
        is_built = changed and not any(name.startswith("seed.") for name in ready.suspects)
        if builds_seeds and is_built:
            record_seeds(self.connection, seeds)
        return Outcome(
            ready,
            dates,
            sorted(rebuilt | gone),
            built.nodes,
            tests=sum(result["unique_id"].startswith("test.") and result["status"] in PASSED for result in results),
            failed=failed_results(results),
            error=described(built.failure),
            notes=notes,
            resumed=command[0] == "retry",
            digest=(changed if built_seeds(self.connection) == seeds else "") if is_built else None,
            manifest=json.dumps(manifest) if is_built else None,
            files=pack(self.dbt.project) if is_built else None,
            seconds=time.monotonic() - started,
        )

    def publish(self, outcome: Outcome) -> tuple[dict[str, SluiceError], tuple[str, ...]]:
        """Publishes what is ready; returns the errors of the other marts that were, and notes on the project."""
        refused = publish(self.connection, outcome.ready, outcome.rebuilt, log_line=self.log_line)
        if outcome.ready.complete:
            unfinished.forget(self.folder)
        if outcome.digest is not None and outcome.manifest is not None and outcome.files is not None:
            record_built(self.connection, outcome.digest, json.loads(outcome.manifest), outcome.files)
        notes = (*outcome.notes, *removed_notes(self.connection))
        for name, reason in outcome.ready.held_back.items():
            self.log_line(f"marts.{name} was not published: {reason}")
        for refusal in refused.values():
            self.log_line(str(refusal))
        if outcome.failure() or refused:
            for note in notes:
                self.log_line(note)
        else:
            record_last_run(self.connection, self.run, outcome.text())
        return refused, notes

    def _prepare(self) -> str | None:
        """Writes the sources, then returns as ``changed``."""
        declare_sources(self.contracts, self.dbt)
        return self.changed()

    def _is_due(self, dates: dict[str, list[date]], changed: str | None) -> bool:
        return bool(dates or changed or any_refused(self.connection) or read_whole(self.connection))

    def changed(self) -> str | None:
        """Returns the digest of the project, if it has changed since it was last built."""
        digest = project_digest(self.dbt)
        return digest if built_digest(self.connection) != digest else None

    def _build(self, command: Sequence[str]) -> "_Built":
        """Runs dbt until it has built everything that it can.

        A model whose table has other columns fails without a change. It is marked for rebuilding it whole, with what is
        built from it, and dbt resumes. If the plan is not complete afterwards, dbt's record is kept.

        Raises:
            SluiceError: dbt has built nothing, or has lost the warehouse.
        """
        built, resumed = _Built(), command[0] == "retry"
        while True:
            marked = frozenset(read_whole(self.connection))
            try:
                self.dbt.run(*command, inherit_fds=[self.lock_fd])
            except SluiceError as error:
                if not self.dbt.can_be_retried():
                    unfinished.forget(self.folder)
                    raise
                unfinished.keep(self.folder, self.run, self.dbt.results)
                built += self._completed(marked, error)
                if self._mark_other_columns():
                    command = ("retry", "--state", str(self.folder))
                    continue
                # A model that has lost its server is built again soon, and until then no mart changes. If that fails as
                # well, the fault may be the model's own, such as a query that always runs out of memory.
                if isinstance(error, TransientError) and not resumed:
                    raise
                return built
            return built + self._completed(marked)

    def _completed(self, marked: frozenset[str], failure: SluiceError | None = None) -> "_Built":
        """Returns what dbt has just built, if these models were marked before."""
        completed = self.dbt.completed()
        # dbt itself marks a model of which it builds the whole table, until the table has passed its tests.
        return _Built(failure, len(completed), frozenset(completed).intersection(read_whole(self.connection)), marked)

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


@dataclass(frozen=True)
class _Built:
    """What one or more runs of dbt have built."""

    failure: SluiceError | None = None
    """The error, if a node failed in the last of them."""
    nodes: int = 0
    """How many nodes dbt completed."""
    whole: frozenset[str] = frozenset()
    """The models of which all rows were built."""
    marked: frozenset[str] = frozenset()
    """The models that had to be rebuilt whole."""

    def __add__(self, later: "_Built") -> "_Built":
        return _Built(later.failure, self.nodes + later.nodes, self.whole | later.whole, self.marked | later.marked)


def _notes(manifest: Mapping[str, Any], rebuilt: Iterable[str], new_rule: Iterable[str]) -> tuple[str, ...]:
    """Returns what changes of models that rebuild only stale rows mean for the history of the marts."""
    marts = {mart.model for mart in marts_of(manifest) if builds_part(manifest["nodes"][mart.model])}
    notes = []
    if names := _names(manifest, marts.intersection(rebuilt)):
        notes.append(f"rebuilt all rows, because columns or configuration have changed: {', '.join(names)}")
    if names := _names(manifest, marts.intersection(new_rule)):
        notes.append(
            f"SQL, seeds or vars have changed, which earlier rows do not follow: {', '.join(names)}. Hint:"
            " `make backfill FROM=… TO=… WHAT=marts` rebuilds a range of dates, and"
            ' `make dbt A="build --selector transform --full-refresh"` everything'
        )
    return tuple(notes)


def _names(manifest: Mapping[str, Any], ids: Iterable[str]) -> list[str]:
    return sorted(manifest["nodes"][name]["name"] for name in ids)


def removed_notes(connection: Connection) -> tuple[str, ...]:
    """Returns a note on the marts that no model builds any more, if there are such marts."""
    names = known_removed(connection)
    return (warning(names),) if names else ()
