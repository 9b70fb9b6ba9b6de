"""Migrations of the warehouse's own tables: numbered SQL files in this folder, each applied once, in order.

A file is never changed after a release; another file corrects it. Raw tables follow from the contracts instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sluice.errors import TerminalError

Connection = psycopg.Connection[tuple[object, ...]]

_VERSIONS = """
create schema if not exists ops;
create table if not exists ops.migrations (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
)"""


@dataclass(frozen=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    statements: str
    """SQL, separated by semicolons."""


def known_migrations(folder: Path = Path(__file__).parent) -> list[Migration]:
    """Returns the migrations of a folder, whose files are named ``<version>_<name>.sql``, in order."""
    parts = [(*file.stem.split("_", 1), file.read_text()) for file in sorted(folder.glob("*.sql"))]
    return [Migration(int(version), name, statements) for version, name, statements in parts]


def pending(known: Sequence[Migration], applied: Iterable[tuple[int, str]]) -> list[Migration]:
    """Returns the known migrations that are not among those applied (version and name), in order.

    Raises:
        TerminalError: one was applied that is not known: a newer version of the code has upgraded the warehouse.
    """
    versions = set(applied)
    for version, name in sorted(versions - {(migration.version, migration.name) for migration in known}):
        raise TerminalError(
            f"the warehouse is newer than this version of the code, which has no migration {version:04}_{name}",
            "check out the version that launched the platform last, or a later one",
        )
    return [migration for migration in known if (migration.version, migration.name) not in versions]


def migrate(connection: Connection, known: Sequence[Migration]) -> list[Migration]:
    """Applies the pending migrations, each with its row in ``ops.migrations``, and returns them.

    Each has a transaction of its own, or a savepoint in the caller's transaction. The caller holds the lock of
    ``lock_provisioning``.

    Raises:
        TerminalError: as ``pending``, or Postgres rejected a migration, which was rolled back.
        psycopg.OperationalError: a lock timeout, a deadlock or a lost connection.
    """
    connection.execute(_VERSIONS)
    rows = connection.execute("select version, name from ops.migrations").fetchall()
    todo = pending(known, [(int(str(version)), str(name)) for version, name in rows])
    for migration in todo:
        try:
            with connection.transaction():
                connection.execute(migration.statements.encode())
                connection.execute(
                    "insert into ops.migrations (version, name) values (%s, %s)", (migration.version, migration.name)
                )
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise TerminalError(
                f"migration {migration.version:04}_{migration.name} of the warehouse failed: {error}",
                "it was rolled back; report this as a bug",
            ) from error
    return todo
