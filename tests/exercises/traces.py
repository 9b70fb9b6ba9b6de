"""What a check could leave behind: on the servers, in temporary files, and as processes."""

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from psycopg import sql

from sluice.kafka.admin import admin
from sluice.lake.bucket import ROOT_USER, client
from sluice.lake.bucket import admin as lake_admin
from sluice.settings import Settings
from sluice.warehouse.connect import AIRFLOW, connect

_SET_CHILD_SUBREAPER = 36
_TABLES = (
    "select schemaname || '.' || tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
)
"""Staging tables come and go with transforms."""


@contextmanager
def adopted_orphans() -> Iterator[None]:
    """Makes this process the parent of its descendants whose own parent has ended: they cannot hide from ``traces``."""
    _set_subreaper(1)
    try:
        yield
    finally:
        _set_subreaper(0)


def _set_subreaper(adopts: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, adopts, 0, 0, 0)


def traces(settings: Settings, temporary: Path) -> set[str]:
    """Returns one line for each database, schema, table, role, topic, group, folder of the lake, DAG, file and process.

    Args:
        settings: of the platform.
        temporary: the folder of temporary files.
    """
    found = {f"process {' '.join(process.cmdline())[:200]}" for process in _children()}
    found |= {f"temporary file {path.relative_to(temporary)}" for path in temporary.rglob("*")}
    with admin(settings) as kafka:
        found |= {f"topic {name}" for name in kafka.list_topics()}
        found |= {f"consumer group {group['group_id']}" for group in kafka.list_groups()}
    store = client(settings, "root")
    for bucket in store.list_buckets():
        found |= {f"object {entry.bucket_name}/{entry.object_name}" for entry in store.list_objects(bucket.name)}
    accounts = json.loads(lake_admin(settings).list_service_account(ROOT_USER))["accounts"] or []
    found |= {f"key pair {account['accessKey']}" for account in accounts}
    found |= _names(settings, "postgres", "database", "select datname from pg_database")
    found |= _names(settings, "postgres", "role", "select rolname from pg_roles")
    found |= _names(settings, settings.warehouse, "schema", "select nspname from pg_namespace where nspname !~ '^pg_'")
    found |= _names(settings, settings.warehouse, "table", f"{_TABLES} and schemaname <> 'staging'")
    found |= _row_counts(settings)
    found |= _names(settings, AIRFLOW, "DAG", "select dag_id from dag")
    return found


def _names(settings: Settings, database: str, kind: str, query: str) -> set[str]:
    with closing(connect(settings, "postgres", database)) as connection:
        return {f"{kind} {row[0]}" for row in connection.execute(query.encode()).fetchall()}


def _row_counts(settings: Settings) -> set[str]:
    """Returns how many rows each raw table and each mart has: a check changes none of the platform's data."""
    with closing(connect(settings, "reader")) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname in ('raw', 'marts')"
        ).fetchall()
        counts = [
            (table, connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(*map(str, table)))))
            for table in tables
        ]
        return {f"{count.fetchall()[0][0]} rows of {'.'.join(map(str, table))}" for table, count in counts}


def _children() -> list[psutil.Process]:
    processes = psutil.Process(os.getpid()).children(recursive=True)
    return [process for process in processes if process.status() != psutil.STATUS_ZOMBIE]
