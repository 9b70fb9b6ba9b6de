"""pandas as in tutorials: read_json, and to_sql with its defaults."""

from pathlib import Path

import pandas as pd
import sqlalchemy

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Appends every file to one table that pandas creates."""
    spec = Spec.read()
    engine = sqlalchemy.create_engine(spec.dsn.replace("postgresql://", "postgresql+psycopg2://"))
    print(READING, flush=True)
    for file in sorted(Path(spec.folder).glob("*.jsonl")):
        pd.read_json(file, lines=True).to_sql("bench_pandas", engine, if_exists="append", index=False)


if __name__ == "__main__":
    main()
