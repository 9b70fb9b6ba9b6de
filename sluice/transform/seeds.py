"""The reference tables (dbt's seeds): built once, and again when one of their files changes."""

import hashlib
from pathlib import Path

from sluice.transform.dbt import Dbt
from sluice.transform.touched import Connection, faults

SCHEMA = "staging"


def build_seeds(connection: Connection, dbt: Dbt) -> None:
    """Builds the reference tables, unless the warehouse has them as the files are now.

    Raises:
        TransientError: the warehouse went away.
        TerminalError: dbt found something wrong.
    """
    files = sorted((dbt.project / "seeds").glob("*.csv"))
    note = dbt.home / "seeds.sha256"
    digest = _digest(files)
    if note.exists() and note.read_text() == digest and _all_there(connection, [file.stem for file in files]):
        return
    dbt.say("building the reference tables first")
    dbt.run("build", "--selector", "setup")
    note.write_text(digest)


def _digest(files: list[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def _all_there(connection: Connection, tables: list[str]) -> bool:
    # The note may be about another warehouse: one that was dropped and made again.
    query = "select count(*) from pg_tables where schemaname = %s and tablename = any(%s)"
    with faults():
        row = connection.execute(query, (SCHEMA, tables)).fetchone()
    return row is not None and row[0] == len(tables)
