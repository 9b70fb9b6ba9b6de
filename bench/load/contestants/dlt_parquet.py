"""dlt: filesystem source with prepared Parquet rows, incremental by file, Postgres destination, loading by ADBC."""

from pathlib import Path

import dlt
from dlt.sources.filesystem import filesystem, read_parquet

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Appends the rows of all files that it has not loaded yet to a table that dlt creates."""
    spec = Spec.read()
    destination = dlt.destinations.postgres(spec.dsn)
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=spec.state, destination=destination, dataset_name="bench_dlt_parquet"
    )
    print(READING, flush=True)
    files = filesystem(
        bucket_url=Path(spec.rows).as_uri(),
        file_glob="*.parquet",
        incremental=dlt.sources.incremental("modification_date"),
    )
    rows = files | read_parquet(chunksize=65_536, use_pyarrow=True)
    pipeline.run(rows.with_name("departed"), loader_file_format="parquet", write_disposition="append")


if __name__ == "__main__":
    main()
