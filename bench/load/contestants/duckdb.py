"""DuckDB: reads the same lake, parses the JSON values and inserts into the raw table by its postgres extension."""

import json
from importlib.util import find_spec
from pathlib import Path

import duckdb

from bench.load.contestants.spec import READING, Spec

_FIELDS = {
    "event_id": "VARCHAR",
    "flight_id": "VARCHAR",
    "carrier": "VARCHAR",
    "flight_number": "INTEGER",
    "tail_number": "VARCHAR",
    "origin": "VARCHAR",
    "dest": "VARCHAR",
    "distance_miles": "INTEGER",
    "scheduled_at": "TIMESTAMPTZ",
    "departed_at": "TIMESTAMPTZ",
    "departure_delay_minutes": "INTEGER",
}
_RECORD = ("topic_id", "partition", "offset", "timestamp", "event_date")


def main() -> None:
    """Inserts all events, in one transaction."""
    spec = Spec.read()
    database = duckdb.connect(config={"preserve_insertion_order": False})
    for name in ("httpfs", "delta", "postgres_scanner"):
        database.execute(f"load '{_extension(name)}'")
    print(READING, flush=True)
    storage = json.loads(spec.storage)
    scheme, _, endpoint = storage["aws_endpoint"].partition("://")
    database.execute(
        f"create secret (type s3, key_id '{storage['aws_access_key_id']}', secret '{storage['aws_secret_access_key']}',"
        f" endpoint '{endpoint}', use_ssl {scheme == 'https'}, url_style path, region '{storage['aws_region']}')"
    )
    database.execute(f"attach '{spec.dsn}' as warehouse (type postgres)")
    columns = ", ".join((*_FIELDS, *(f"_{name}" for name in _RECORD), "_loaded_at"))
    values = ", ".join((*(f"event.{name}" for name in _FIELDS), *(f'"{name}"' for name in _RECORD), "now()"))
    event = f"from_json(decode(value), '{json.dumps(_FIELDS)}')"
    database.sql(f"select *, {event} as event from delta_scan('{spec.lake}')").create_view("records")  # noqa: S608
    database.execute(f"insert into warehouse.raw.{spec.table} ({columns}) select {values} from records")  # noqa: S608


def _extension(name: str) -> Path:
    """Returns the file of an extension, which its own package installs: nothing is downloaded when it is loaded."""
    package = find_spec(f"duckdb_extension_{name}")
    folder = Path(str(package and package.origin)).parent
    return next(folder.rglob(f"{name}.duckdb_extension"))


if __name__ == "__main__":
    main()
