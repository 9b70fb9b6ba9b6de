"""ADBC: ingests prepared rows, read from Parquet files, by one binary COPY in one transaction."""

from adbc_driver_postgresql import dbapi
from pyarrow import dataset

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Appends all rows to the raw table."""
    spec = Spec.read()
    print(READING, flush=True)
    rows = dataset.dataset(spec.rows, format="parquet").scanner().to_reader()
    with dbapi.connect(spec.dsn) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(spec.table, rows, mode="append", db_schema_name="raw")
        connection.commit()


if __name__ == "__main__":
    main()
