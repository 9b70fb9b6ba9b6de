"""What the reports of earthquakes go through in a check: the learner's contract, models and DAG, on real servers."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from psycopg import sql

from exercises.grading.attempt import Attempt
from exercises.grading.dag_sandbox import DagSandbox, dag_sandbox, warehouse_connection
from exercises.grading.data_tests import DataTest, read_tests
from exercises.grading.earthquakes import COLUMNS, Report
from exercises.grading.mart_rows import Rows
from exercises.grading.project import Project, unseen_project
from exercises.grading.stream import ScratchStream, scratch_stream
from sluice.contracts import Contract
from sluice.transform.dbt import Dbt

MART = "agg_quakes_daily"

_PARTITIONS = 3
_OTHER_MODELS = ("models", "seeds", "snapshots", "analyses")


@dataclass(frozen=True)
class QuakePlatform:
    """A stream, a warehouse with the learner's models, and an Airflow with the learner's DAG."""

    stream: ScratchStream
    """It is loaded into the warehouse of the project."""
    project: Project
    airflow: DagSandbox
    _source: ScratchStream

    def ingest(self, reports: Iterable[Report]) -> None:
        """Sends reports to the topic, and waits until they are in the lake and loaded."""
        self._source.send(report.record(_PARTITIONS) for report in reports)
        self._source.land()
        self.stream.load()

    def tests(self) -> list[DataTest]:
        """Returns the tests of the mart, as the last transform has run them."""
        dbt = Dbt(self.project.settings, self.project.lines.append)
        return [test for test in read_tests(dbt.read_manifest(), dbt.read_results()) if MART in test.reads]

    def stored_rows(self) -> dict[date, frozenset[tuple[str, str]]]:
        """Returns where the mart's rows are stored, by date: rows that were written again are elsewhere."""
        rows = self.project.rows(f"select event_date, ctid::text, xmin::text from staging.{MART}").rows  # noqa: S608
        return {day: frozenset((ctid, xmin) for other, ctid, xmin in rows if other == day) for day, _, _ in rows}

    def write_rows(self, dates: list[date], rows: Rows) -> None:
        """Gives dates of the mart other rows, as if an earlier model had built and published them.

        Args:
            dates: whose rows are replaced.
            rows: of all dates.
        """
        values = [sql.SQL(", ").join(map(sql.Literal, row)) for row in rows.rows if row[0] in dates]
        for schema in ("staging", "marts"):
            table = sql.Identifier(schema, MART)
            delete = sql.SQL("delete from {} where event_date = any({})").format(table, sql.Literal(dates))
            insert = sql.SQL("insert into {} ({}) values ({})").format(
                table, sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), sql.SQL("), (").join(values)
            )
            self.project.execute(sql.SQL("{}; {}").format(delete, insert).as_string(None))


@contextmanager
def quake_platform(
    attempt: Attempt, contract: Path, parsed: Contract, models: Mapping[str, str], dag_file: str
) -> Iterator[QuakePlatform]:
    """Yields the platform of one check, which is removed at the end.

    Args:
        attempt: the learner's.
        contract: the learner's contract.
        parsed: the same.
        models: the learner's dbt files: texts by path in the project.
        dag_file: the learner's DAG file, by its path in the attempt's folder.

    Raises:
        SluiceError: a server is down.
    """
    with ExitStack() as stack:
        project = stack.enter_context(unseen_project(attempt.settings, {parsed.stream: parsed}))
        # Macros and generic tests stay. The learner's models need no others, whose sources are not here either.
        for name in _OTHER_MODELS:
            shutil.rmtree(project.settings.dbt / name, ignore_errors=True)
        for path in (project.settings.dbt / "tests").glob("*.*"):
            path.unlink()
        project.lay_over(models)
        database = project.settings.warehouse
        connections = {"warehouse_reader": warehouse_connection(attempt.settings, "reader", database)}
        airflow = stack.enter_context(dag_sandbox(attempt, dag_file, connections))
        source = stack.enter_context(scratch_stream(attempt.settings, contract, _PARTITIONS))
        stream = ScratchStream(source.settings.model_copy(update={"warehouse": project.settings.warehouse}))
        yield QuakePlatform(stream, project, airflow, source)
