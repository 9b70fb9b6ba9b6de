"""``python -m bench.sink.contestants.iceberg_files metadata``, in .venv-bench: prints a table's data files."""

import sys

from pyiceberg.table import StaticTable

from bench.sink.contestants.spec import read_spec


def main() -> None:
    """Prints an address per line."""
    spec = read_spec()
    options = {
        "s3.endpoint": f"http://{spec.minio}",
        "s3.access-key-id": spec.user,
        "s3.secret-access-key": spec.password,
        "s3.region": "us-east-1",
    }
    for task in StaticTable.from_metadata(sys.argv[1], options).scan().plan_files():
        print(task.file.file_path)


if __name__ == "__main__":
    main()
