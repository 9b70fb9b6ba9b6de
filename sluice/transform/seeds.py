"""The reference tables (dbt's seeds): built once, and again when one of their files changes."""

import hashlib
from pathlib import Path

from sluice.transform.dbt import Dbt
from sluice.transform.stale import Connection, postgres_errors

SCHEMA = "staging"


def seeds_differ(connection: Connection, dbt: Dbt) -> bool:
    """Returns whether the warehouse's reference tables differ from the files, or are missing.

    Raises:
        TransientError: the connection to the warehouse was lost.
    """
    digest_file = _digest_file(dbt)
    files = _files(dbt)
    recorded = digest_file.exists() and digest_file.read_text() == _digest(files)
    # The warehouse may have been dropped and recreated since.
    return not recorded or not _tables_exist(connection, [file.stem for file in files])


def record_seeds(dbt: Dbt) -> None:
    """Records that the reference tables, and the models built from them, match the files."""
    _digest_file(dbt).write_text(_digest(_files(dbt)))


def _digest_file(dbt: Dbt) -> Path:
    return dbt.home / "seeds.sha256"


def _files(dbt: Dbt) -> list[Path]:
    return sorted((dbt.project / "seeds").glob("*.csv"))


def _digest(files: list[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def _tables_exist(connection: Connection, tables: list[str]) -> bool:
    query = "select count(*) from pg_tables where schemaname = %s and tablename = any(%s)"
    with postgres_errors():
        row = connection.execute(query, (SCHEMA, tables)).fetchone()
    return row is not None and row[0] == len(tables)
