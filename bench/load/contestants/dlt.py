"""dlt: filesystem source with files of JSON lines, Postgres destination, loading CSV by COPY."""

from pathlib import Path

import dlt
from dlt.sources.filesystem import filesystem, read_jsonl

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Extracts, normalises and loads all files into a table that dlt creates."""
    spec = Spec.read()
    destination = dlt.destinations.postgres(spec.dsn)
    pipeline = dlt.pipeline("bench", pipelines_dir=spec.state, destination=destination, dataset_name="bench_dlt")
    print(READING, flush=True)
    files = filesystem(bucket_url=Path(spec.folder).as_uri(), file_glob="*.jsonl") | read_jsonl(chunksize=10_000)
    pipeline.run(files.with_name("departed"), loader_file_format="csv", write_disposition="replace")


if __name__ == "__main__":
    main()
