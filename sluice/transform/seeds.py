"""The reference tables (dbt's seeds): built once, and again when one of their files changes."""

import hashlib
from pathlib import Path

from sluice.transform.dbt import Dbt
from sluice.transform.stale import Connection, faults

SCHEMA = "staging"


def seeds_differ(connection: Connection, dbt: Dbt) -> bool:
    """Whether the warehouse's reference tables are other ones than the files, or not there.

    Raises:
        TransientError: the warehouse went away.
    """
    note = _note(dbt)
    files = _files(dbt)
    known = note.exists() and note.read_text() == _digest(files)
    # The note may be about another warehouse: one that was dropped and made again.
    return not known or not _all_there(connection, [file.stem for file in files])


def note_seeds(dbt: Dbt) -> None:
    """Notes that the reference tables, and what is built from them, are as the files say."""
    _note(dbt).write_text(_digest(_files(dbt)))


def _note(dbt: Dbt) -> Path:
    return dbt.home / "seeds.sha256"


def _files(dbt: Dbt) -> list[Path]:
    return sorted((dbt.project / "seeds").glob("*.csv"))


def _digest(files: list[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def _all_there(connection: Connection, tables: list[str]) -> bool:
    query = "select count(*) from pg_tables where schemaname = %s and tablename = any(%s)"
    with faults():
        row = connection.execute(query, (SCHEMA, tables)).fetchone()
    return row is not None and row[0] == len(tables)
