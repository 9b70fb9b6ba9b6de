"""What dbt has built for a run, kept in the warehouse for the steps that follow: testing and publishing.

It belongs to the plan: another plan with dates removes it, because its publication would mark those as built, and so
does dbt, before it changes the tables that the outcome describes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.transform.dbt import FAILED, Result, error_of
from sluice.transform.lineage import Readiness
from sluice.transform.stale import Connection, create_tables, postgres_errors

Failure = tuple[Literal["terminal", "transient"], str, str]
"""The kind, message and hint of an error."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one dbt invocation, and of its resumption or second part if there was one."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    ready: Readiness
    dates: dict[str, list[date]] = field(default_factory=dict)
    """The plan: event dates per stream."""
    rebuilt: list[str] = field(default_factory=list)
    """Models that need not be rebuilt whole any more, by dbt's ids."""
    nodes: int = 0
    """Models and tests that dbt completed."""
    tests: int = 0
    """Tests that passed."""
    failed: list[Result] = field(default_factory=list)
    """dbt's results of the nodes that failed."""
    error: Failure | None = None
    """dbt's error, with message and hint; None if every node was built and passed its tests."""
    notes: tuple[str, ...] = ()
    """What changes of the project mean, one line each."""
    resumed: bool = False
    """Whether dbt resumed an earlier invocation."""
    digest: str | None = None
    """The digest of the project if it has changed and now counts as built."""
    manifest: str | None = None
    """dbt's description of that project, as JSON."""
    files: bytes | None = None
    """The files of that project, as ``pack`` returns them."""
    unreadable: Failure | None = None
    """Why dbt cannot read the project, which was built as it was last built."""
    seconds: float = 0.0

    def text(self) -> str:
        """Returns a summary of one line."""
        return summary(self.nodes, self.seconds, self.dates, resumed=self.resumed)

    def failure(self) -> SluiceError | None:
        """Returns dbt's error, if there was one."""
        error = self.unreadable or self.error
        return _restored(error) if error else None

    def failure_of_models(self) -> SluiceError | None:
        """Returns the error of the project, or of its models, seeds and hooks; None if nothing but tests failed."""
        if self.unreadable:
            return _restored(self.unreadable)
        if not self.error:
            return None
        others = [result for result in self.failed if not _is_test(result)]
        return error_of(others) if others else None if self.failed else _restored(self.error)

    def failure_of_tests(self) -> SluiceError | None:
        """Returns the error of the tests, if some failed."""
        tests = [result for result in self.failed if _is_test(result)]
        return error_of(tests) if tests else None


_JSON = TypeAdapter(Outcome)
_MAX_MESSAGE_LENGTH = 2_000
"""Characters of a node's message that are kept."""


def summary(nodes: int, seconds: float, dates: Mapping[str, Collection[date]], *, resumed: bool) -> str:
    """Returns what was built, in how many seconds, and why, on one line."""
    counts = ", ".join(f"{stream} {len(days)}" for stream, days in dates.items())
    verb = "resumed; built" if resumed else "built"
    reason = f"the stale dates of {counts}" if counts else "a new or changed project"
    return f"{verb} {nodes} dbt nodes in {seconds:.1f} s for {reason}"


def nothing_to_build(last_run: str | None) -> str:
    """Returns why there is nothing to build: which run has built everything, if that is known."""
    since = f"run {last_run}" if last_run else "the last transform"
    return f"nothing to build: no date and no model has changed since {since}"


def described(error: SluiceError | None) -> Failure | None:
    """Returns an error as values that can be kept."""
    if error is None:
        return None
    return "transient" if isinstance(error, TransientError) else "terminal", error.message, error.hint


def failed_results(results: Iterable[Result]) -> list[Result]:
    """Returns the results of the nodes that failed, without the fields that nothing reads."""
    return [
        {
            "unique_id": result["unique_id"],
            "status": result["status"],
            "message": (result["message"] or "")[:_MAX_MESSAGE_LENGTH],
        }
        for result in results
        if result["status"] in FAILED
    ]


def keep_outcome(connection: Connection, run: str, outcome: Outcome) -> None:
    """Keeps the outcome of a run; it replaces that of an earlier attempt."""
    with postgres_errors():
        connection.execute(
            "insert into staging.transform_outcome values (%s, %s)"
            " on conflict (run) do update set outcome = excluded.outcome",
            (run, _JSON.dump_json(outcome).decode()),
        )


def forget_outcomes(connection: Connection) -> None:
    """Removes what is kept, before dbt changes the tables that it describes."""
    with postgres_errors():
        connection.execute("delete from staging.transform_outcome")


def read_outcome(connection: Connection, run: str) -> Outcome | None:
    """Returns the outcome of a run; None if nothing was built, or if a later plan has replaced its own."""
    create_tables(connection)
    with postgres_errors():
        row = connection.execute("select outcome from staging.transform_outcome where run = %s", (run,)).fetchone()
    return _JSON.validate_json(str(row[0])) if row else None


def _is_test(result: Result) -> bool:
    return result["unique_id"].startswith("test.")


def _restored(error: Failure) -> SluiceError:
    kind, message, hint = error
    return (TransientError if kind == "transient" else TerminalError)(message, hint)
