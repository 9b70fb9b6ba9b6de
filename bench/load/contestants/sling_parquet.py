"""sling: copies prepared Parquet rows into a table that it creates."""

from pathlib import Path

from bench.load.contestants.sling import run
from bench.load.contestants.spec import Spec


def main() -> None:
    """Replaces this process with sling."""
    spec = Spec.read()
    run(spec, Path(spec.rows), {"format": "parquet"}, "public.bench_sling_parquet")


if __name__ == "__main__":
    main()
