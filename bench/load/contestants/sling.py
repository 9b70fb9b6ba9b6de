"""sling: copies files of JSON lines, one column per field, into a table that it creates."""

import json
import os
from pathlib import Path

from sling_linux_amd64 import __file__ as package

from bench.load.contestants.spec import READING, Spec


def main() -> None:
    """Replaces this process with sling."""
    spec = Spec.read()
    program = next(path for path in Path(package).parent.rglob("sling*") if os.access(path, os.X_OK) and path.is_file())
    os.environ["BENCH_TARGET"] = f"{spec.dsn}?sslmode=disable"
    print(READING, flush=True)
    options = json.dumps({"format": "jsonlines", "flatten": True})
    source = ["--src-stream", Path(spec.folder).as_uri() + "/", "--src-options", options]
    target = ["--tgt-conn", "BENCH_TARGET", "--tgt-object", "public.bench_sling", "--mode", "full-refresh"]
    os.execv(program, [str(program), "run", *source, *target])  # noqa: S606 - sling itself is measured


if __name__ == "__main__":
    main()
