"""A warehouse of unseen events with a dbt project of its own: the platform's, with a learner's files laid over it."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from secrets import token_hex
from tempfile import TemporaryDirectory
from threading import Event as Flag
from threading import Timer
from typing import Any

import psycopg
from psycopg import sql

from exercises.grading.attempt import WrongAnswer
from exercises.grading.data_tests import Connection, DataTest, failing, read_tests
from exercises.grading.databases import drop_database
from exercises.grading.mart_rows import Rows
from exercises.grading.raw_rows import RawRows
from producers.events import Event
from sluice.contracts import Contract, load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.transform import TransformReport, run_dbt, transform
from sluice.transform.dbt import FAILED, Dbt
from sluice.transform.lineage import readiness
from sluice.transform.stale import mark_built
from sluice.warehouse import connect, schema

_LEFT_OUT = ("target", "logs", "generated", "dbt_packages", "get_where_subquery.sql")
"""What a copy of the project lacks: what dbt has written, and the macro that limits tests to the rows of a run.

So tests read whole tables, and their queries also judge planted rows."""
_QUERY_TIMEOUT = "30s"
"""How long a query of a learner's model may run."""
_SECONDS = 120
"""How long dbt may run."""
_HINT = "fix in your files what dbt names"


@contextmanager
def unseen_project(settings: Settings, contracts: dict[str, Contract] | None = None) -> Iterator["Project"]:
    """Yields a warehouse without rows and a copy of the dbt project. Both exist only during a check.

    Args:
        settings: the platform's.
        contracts: the contracts of the raw tables by stream; by default the platform's. Those of all tables that the
            project's models read must be among them.

    Raises:
        SluiceError: the warehouse is down, or a contract cannot be applied.
    """
    name = f"sluice_check_{token_hex(6)}"
    with TemporaryDirectory(prefix=f"{name}.") as temporary:
        folder = Path(temporary)
        own = settings.model_copy(update={"warehouse": name, "home": folder / "home", "dbt": folder / "dbt"})
        shutil.copytree(settings.dbt, own.dbt, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        # The packages that the project names, if it names any.
        (own.home / "dbt").mkdir(parents=True)
        for file in ("packages", "packages.sha256"):
            if (installed := settings.home / "dbt" / file).exists():
                (own.home / "dbt" / file).symlink_to(installed)
        raw = RawRows(own, load_contracts(settings.contracts) if contracts is None else contracts)
        try:
            schema.provision(own, raw.contracts)
            with connect(own, "postgres") as connection:
                limit = sql.SQL("alter database {} set statement_timeout = {}")
                connection.execute(limit.format(sql.Identifier(name), sql.Literal(_QUERY_TIMEOUT)))
            yield Project(own, raw)
        finally:
            drop_database(settings, name)


@dataclass(frozen=True)
class Build:
    """What one dbt invocation has built."""

    nodes: frozenset[str]
    """Models, seeds and snapshots, by name."""
    tests: list[DataTest]
    """The data tests that have run, also those that failed."""

    def tests_of(self, model: str) -> list[DataTest]:
        """Returns the tests that read a model, whose rows were compared before.

        Raises:
            WrongAnswer: one of them fails on the right rows.
        """
        tests = [test for test in self.tests if model in test.reads]
        for test in tests:
            if not test.passed:
                raise WrongAnswer(
                    f"the test {test.name} fails, although all rows of {model} are as expected",
                    "think of what the rows may hold on other dates",
                )
        return tests


@dataclass
class Project:
    """A warehouse with the dbt project that builds it."""

    settings: Settings
    """The platform's, with the warehouse, the project and a home of the check."""
    raw: RawRows
    lines: list[str] = field(default_factory=list)
    """dbt's log."""

    def fill(self, events: Iterable[Event]) -> None:
        """Writes events into the raw tables and marks their dates as stale, as loads do."""
        self.raw.fill(events)

    def lay_over(self, files: Mapping[str, str]) -> None:
        """Writes files into the project.

        A file of the same name elsewhere in the project is removed: a learner may have added it to the platform's.

        Args:
            files: texts by path in the project, for example ``models/marts/agg_routes.sql``.
        """
        self.remove(*(PurePosixPath(path).name for path in files))
        for path, text in files.items():
            target = self.settings.dbt / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def remove(self, *names: str) -> None:
        """Removes all files of these names, wherever they are in the project."""
        for path in [path for name in names for path in self.settings.dbt.rglob(name)]:
            path.unlink()

    def build(self, *select: str, tests: bool = True) -> Build:
        """Builds and tests a part of the project in ``staging``, as `make dbt A="build --select …"` does.

        The plan of each build has all dates that are stale, until ``mark_built``.

        Args:
            select: of dbt, for example ``+agg_routes``; the whole project if there is none. Each plain name must be
                built.
            tests: run the data tests of what is selected. A test that fails is part of the result.

        Raises:
            WrongAnswer: dbt cannot read the project, a model fails, or there is no such model.
            TransientError: the warehouse is down.
        """
        # A test that also reads what is not selected would fail.
        arguments = ["build", "--indirect-selection", "cautious", "--exclude-resource-type", "unit_test"]
        arguments += [] if tests else ["--exclude-resource-type", "test"]
        arguments += ["--select", *select] if select else []
        with self._dbt() as dbt:
            try:
                run_dbt(self.settings, self.raw.contracts, arguments, dbt=dbt, log_line=self.lines.append)
            except TerminalError:
                failed = [result["unique_id"] for result in dbt.read_results() if result["status"] in FAILED]
                if not failed or not all(name.startswith("test.") for name in failed):
                    raise
        manifest, results = dbt.read_manifest(), dbt.read_results()
        completed = [manifest["nodes"][name] for name in dbt.completed() if name in manifest["nodes"]]
        nodes = frozenset(node["name"] for node in completed if node["resource_type"] != "test")
        for name in (word.strip("+@") for word in select):
            if name.isidentifier() and name not in nodes:
                raise WrongAnswer(f"dbt finds no {name} in your files", "name it as the exercise does")
        return Build(nodes, read_tests(manifest, results))

    def transform(self) -> TransformReport:
        """Builds, tests and publishes everything that is stale, as `make transform` does.

        Raises:
            WrongAnswer: dbt cannot read the project, or a model or test fails.
            TransientError: the warehouse is down.
        """
        with self._dbt() as dbt:
            return transform(self.settings, self.raw.contracts, dbt=dbt, run=token_hex(6), log_line=self.lines.append)

    def node(self, name: str) -> Mapping[str, Any]:
        """Returns dbt's description of a model or snapshot, as of its last invocation."""
        nodes = Dbt(self.settings, self.lines.append).read_manifest()["nodes"].values()
        found: Mapping[str, Any] = next(
            node for node in nodes if node["name"] == name and node["resource_type"] in ("model", "snapshot")
        )
        return found

    def mark_built(self) -> None:
        """Marks the dates of the last build's plan, and models built whole, as built, as publishing does."""
        manifest = Dbt(self.settings, self.lines.append).read_manifest()
        with connect(self.settings, "transformer") as connection:
            lists = [name for name in readiness(manifest, []).work_lists if _exists(connection, *name)]
            mark_built(connection, {}, lists)
            connection.execute("delete from staging.transform_whole")

    def table(self, name: str) -> Rows:
        """Returns the rows of a model or seed.

        Raises:
            WrongAnswer: it was not built.
        """
        with connect(self.settings, "transformer") as connection:
            return self.rows(sql.SQL("select * from {}").format(sql.Identifier("staging", name)).as_string(connection))

    def rows(self, query: str) -> Rows:
        """Returns the rows of a grader's own query, which may read all schemas.

        Raises:
            WrongAnswer: it reads what the learner's files should have built.
        """
        with connect(self.settings, "transformer") as connection:
            try:
                cursor = connection.execute(query.encode())
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
                raise WrongAnswer(f"dbt has not built it: {error.diag.message_primary}", _HINT) from error
            return Rows([column.name for column in cursor.description or ()], cursor.fetchall())

    def execute(self, statement: str) -> None:
        """Runs a grader's own statement, as the role that owns what dbt builds."""
        with connect(self.settings, "transformer") as connection:
            connection.execute(statement.encode())

    def failing(self, tests: Sequence[DataTest], model: str, *faults: str) -> list[str]:
        """Returns which tests fail on a model's rows with faults. The rows stay as they are.

        Args:
            tests: of a build.
            model: whose rows get the faults: its table in ``staging``, without its indexes.
            faults: statements that change them.
        """
        with connect(self.settings, "transformer") as connection:
            return failing(connection, tests, model, faults)

    @contextmanager
    def _dbt(self) -> Iterator[Dbt]:
        """Yields dbt, ends it after a time, and turns the errors of a learner's files into wrong answers."""
        dbt, expired = Dbt(self.settings, self.lines.append), Flag()

        def expire() -> None:
            expired.set()
            dbt.stop()

        timer = Timer(_SECONDS, expire)
        timer.start()
        try:
            yield dbt
        except SluiceError as error:
            if expired.is_set():
                raise WrongAnswer(f"dbt has not ended after {_SECONDS} s", "look for loops in your files") from error
            if "statement timeout" in error.message:
                raise WrongAnswer(self._relative(error), "look for joins without a condition") from error
            if isinstance(error, TransientError):
                raise
            raise WrongAnswer(self._relative(error), _HINT) from error
        finally:
            timer.cancel()

    def _relative(self, error: SluiceError) -> str:
        """Returns an error's message without the folders of the check."""
        return error.message.replace(f"{self.settings.dbt}/", "").replace(f"{self.settings.home}/dbt/", "")


def _exists(connection: Connection, schema_name: str, table: str) -> bool:
    query = "select to_regclass(format('%%I.%%I', %s::text, %s::text)) is not null"
    row = connection.execute(query, (schema_name, table)).fetchone()
    return row is not None and bool(row[0])
