"""sling: copies files of JSON lines, one column per field, into a table that it creates."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sling_linux_amd64 import __file__ as package

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Replaces this process with sling."""
    spec = Spec.read()
    run(spec, Path(spec.folder), {"format": "jsonlines", "flatten": True}, "public.bench_sling")


def run(spec: Spec, folder: Path, options: Mapping[str, object], table: str) -> None:
    """Replaces this process with sling, which replaces a table by the rows of a folder's files."""
    program = next(path for path in Path(package).parent.rglob("sling*") if os.access(path, os.X_OK) and path.is_file())
    os.environ |= {
        "BENCH_TARGET": f"{spec.dsn}?sslmode=disable",
        # It reads Parquet by DuckDB's program, and would download that and an extension that it contains.
        "DUCKDB_PATH": str(Path(sys.executable).with_name("duckdb")),
        "DUCKDB_USE_INSTALLED_EXTENSIONS": "true",
        "SLING_HOME_DIR": spec.state,
    }
    print(READING, flush=True)
    source = ["--src-stream", folder.as_uri() + "/", "--src-options", json.dumps(options)]
    target = ["--tgt-conn", "BENCH_TARGET", "--tgt-object", table, "--mode", "full-refresh"]
    os.execv(program, [str(program), "run", *source, *target])  # noqa: S606 - sling itself is measured


if __name__ == "__main__":
    main()
