"""The data tests of a dbt project, run again by a grader: on planted rows, without another start of dbt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import psycopg
from psycopg import sql

from sluice.transform.dbt import PASSED, Result

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class DataTest:
    """A data test, as dbt has run it."""

    name: str
    passed: bool
    reads: frozenset[str]
    """The models that it reads, by name."""
    query: str
    """Returns whether the test fails, on the rows that are there when the query runs."""


def read_tests(manifest: Mapping[str, Any], results: Sequence[Result]) -> list[DataTest]:
    """Returns the tests that an invocation has run. Those that only warn are not among them: they stop no bad row.

    Args:
        manifest: dbt's ``manifest.json``.
        results: of dbt's ``run_results.json``.
    """
    tests = []
    for result in results:
        node = manifest["nodes"].get(result["unique_id"], {})
        if node.get("resource_type") == "test" and node["config"]["severity"].lower() == "error":
            reads = (manifest["nodes"].get(read, {}).get("name") for read in node["depends_on"]["nodes"])
            passed = result["status"] in PASSED
            tests.append(DataTest(node["name"], passed, frozenset(name for name in reads if name), _query(node)))
    return tests


def failing(connection: Connection, tests: Sequence[DataTest], model: str, faults: Sequence[str]) -> list[str]:
    """Returns which tests fail on a model's rows because of faults. The rows stay as they are.

    A test that also fails on a copy without a fault does not count: it notices the copy.

    Args:
        connection: of the role that owns what dbt builds.
        tests: to run.
        model: whose rows get the faults: its table in ``staging``, without its indexes.
        faults: statements that change them.
    """
    name = f"built_{token_hex(6)}"
    table, built = sql.Identifier("staging", model), sql.Identifier("staging", name)
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("alter table {} rename to {}").format(table, sql.Identifier(name)))
        connection.execute(sql.SQL("create table {} as select * from {}").format(table, built))
        passing = [test for test in tests if not _fails(connection, test)]
        for fault in faults:
            connection.execute(fault.encode())
        return [test.name for test in passing if _fails(connection, test)]


def _query(node: Mapping[str, Any]) -> str:
    """Returns the query by which dbt itself decides, from the test's own query and configuration."""
    config = node["config"]
    limit = f"limit {config['limit']}" if config["limit"] else ""
    rows = f"select * from (\n{node['compiled_code']}\n) as tested {limit}"  # noqa: S608 - runs as the transformer
    return f"select {config['fail_calc']} {config['error_if']} from ({rows}) as failures"  # noqa: S608


def _fails(connection: Connection, test: DataTest) -> bool:
    try:
        with connection.transaction():
            row = connection.execute(test.query.encode()).fetchone()
    except psycopg.Error:
        # As in dbt, where a test that cannot run holds the mart back too.
        return True
    return row is not None and bool(row[0])
