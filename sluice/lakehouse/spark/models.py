"""Builds the dbt project on Spark, in the process that has the session, and publishes the marts that passed."""

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from dbt.cli.main import dbtRunner, dbtRunnerResult
from pyspark.sql import SparkSession

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lakehouse.layout import (
    PUBLISHED,
    PUBLISHED_SCHEMA,
    STAGING,
    built,
    open_table,
    path,
    published,
    raw_table,
    spark_path,
    write_rows,
)
from sluice.settings import Settings
from sluice.transform.dbt import FAILED
from sluice.transform.sources import quoted_blocks, write_sources

log = logging.getLogger(__name__)


def build(spark: SparkSession, settings: Settings, contracts: Mapping[str, Contract]) -> list[str]:
    """Builds and tests all models, publishes what passed, and returns the names of the marts that were published.

    Args:
        spark: the session.
        settings: of the platform.
        contracts: by stream; their raw tables are the sources.

    Raises:
        TerminalError: a model or a test failed; the marts that do not depend on it are published.
    """
    result = _run(spark, settings, contracts, "--no-use-colors", "build", "--selector", "project")
    failed = {node.node.unique_id: node for node in result.result.results if node.status in (*FAILED, "skipped")}
    ready = _ready(result.result, set(failed))
    publish(settings, ready)
    if failed:
        first = next(node for node in failed.values() if node.status in FAILED)
        raise TerminalError(
            f"dbt: {first.node.unique_id}: {' '.join(str(first.message).split())}; {len(failed) - 1} more failed or"
            f" were skipped; {len(ready)} marts are published",
            "correct the model or the data, and run it again",
        )
    return sorted(ready)


def run_dbt(
    spark: SparkSession, settings: Settings, contracts: Mapping[str, Contract], arguments: Sequence[str]
) -> None:
    """Runs a command of dbt's own on Spark; nothing is published.

    Args:
        spark: the session.
        settings: of the platform.
        contracts: by stream; their raw tables are the sources.
        arguments: the command and its options.

    Raises:
        TerminalError: it failed.
    """
    if not _run(spark, settings, contracts, *arguments).success:
        raise TerminalError(f"dbt {' '.join(arguments)} failed", "see the lines above")


def _run(
    spark: SparkSession, settings: Settings, contracts: Mapping[str, Contract], *arguments: str
) -> dbtRunnerResult:
    _register(spark, settings, contracts)
    home = settings.home / "spark" / "dbt"
    write_sources(contracts, home / "generated", quoted=quoted_blocks(settings.dbt))
    os.environ |= _environment(settings, home)
    folders = ["--project-dir", str(settings.dbt), "--profiles-dir", str(settings.dbt), "--target", "spark"]
    result = dbtRunner().invoke([*arguments, *folders])
    if result.exception:
        raise TerminalError(f"dbt: {result.exception}", "correct the project")
    return result


def _register(spark: SparkSession, settings: Settings, contracts: Mapping[str, Contract]) -> None:
    """Makes the tables of the store known to the session: its catalog is in memory, and the store is what counts."""
    for schema in ("raw", STAGING):
        spark.sql(f"create schema if not exists {schema} location '{spark_path(path(settings, schema))}'")
    # The load of a contract may have failed before it made the table. That costs the models of this stream alone.
    loaded = [table for contract in contracts.values() if open_table(settings, table := raw_table(contract.table))]
    for table in [*loaded, *(f"{STAGING}/{name}" for name in built(settings))]:
        schema, name = table.split("/")
        location = spark_path(path(settings, table))
        spark.sql(f"create table if not exists {schema}.`{name}` using delta location '{location}'")


def _environment(settings: Settings, home: Path) -> dict[str, str]:
    return {
        "SLUICE_ENGINE": "spark",
        "SLUICE_LAKEHOUSE": spark_path(path(settings, "")).rstrip("/"),
        "SLUICE_DBT_GENERATED": str(home / "generated"),
        "SLUICE_DBT_PACKAGES": str(settings.home / "dbt" / "packages"),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }


def _ready(result: Any, failed: set[str]) -> dict[str, str]:
    """Returns the marts that were built, and of which no test failed, with the names of their tables."""
    nodes = {node.node.unique_id: node.node for node in result.results}
    tested = {
        parent
        for unique_id in failed
        if nodes[unique_id].resource_type == "test"
        for parent in nodes[unique_id].depends_on.nodes
    }
    return {
        node.name: f"{STAGING}/{node.alias}"
        for unique_id, node in nodes.items()
        if node.resource_type == "model" and "marts" in node.fqn and unique_id not in failed | tested
    }


def publish(settings: Settings, marts: Mapping[str, str]) -> None:
    """Publishes the current versions of tables as marts, all in one commit; other marts stay as they are.

    A reader takes the table of publications, and each mart at the version that it names: all of one run, whatever is
    being built meanwhile.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    now = datetime.now(UTC)
    rows = {mart: (table, version) for mart, (table, version) in published(settings).items() if mart not in marts}
    for mart, table in marts.items():
        current = open_table(settings, table)
        if current is not None:
            rows[mart] = (table, current.version())
    entries = [
        {"mart": mart, "table": table, "version": version, "published_at": now}
        for mart, (table, version) in rows.items()
    ]
    write_rows(settings, PUBLISHED, pa.Table.from_pylist(entries, PUBLISHED_SCHEMA), "overwrite")
