"""The upper bound: psycopg sends prepared rows, from a file that Postgres exported, by binary COPY."""

from pathlib import Path

import psycopg
from psycopg import sql

from bench.load.contestants.spec import READING, Spec

_BLOCK = 1 << 20


def main() -> None:
    """Copies the file into the raw table, in one transaction."""
    spec = Spec.read()
    statement = sql.SQL("copy {} from stdin (format binary)").format(sql.Identifier("raw", spec.table))
    print(READING, flush=True)
    with (
        psycopg.connect(spec.dsn) as connection,
        connection.cursor().copy(statement) as copy,
        Path(spec.copy).open("rb") as file,
    ):
        while block := file.read(_BLOCK):
            copy.write(block)


if __name__ == "__main__":
    main()
