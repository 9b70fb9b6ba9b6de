"""Files of events in several formats, read as one JSON text per event."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sluice.contracts.paths import Path as JsonPath
from sluice.errors import TerminalError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".geojson", ".csv", ".tsv", ".parquet")


class Records(Protocol):
    """The events of a file, in its order."""

    @property
    def types(self) -> Mapping[JsonPath, str]:
        """The types that the file declares for its values, as a contract writes them, by where they are in events."""

    def __len__(self) -> int:
        """Number of events."""

    def texts(self, indices: Sequence[int]) -> list[bytes]:
        """Returns the JSON texts of the events at some indices, counted from 0, as UTF-8."""


def open_records(path: Path, kinds: Mapping[str, str] | None = None) -> Records:
    """Reads a file of events. A JSON file's events are its own texts, byte for byte.

    Args:
        path: JSON Lines, a JSON list, a GeoJSON feature collection (its features), CSV with a header, or Parquet, as
            its suffix says.
        kinds: how to write the fields of a CSV file, which has no types, as JSON: ``string``, ``number``, ``boolean``,
            ``timestamp``, ``json`` or ``value`` (any other type that has no empty text), by name. Other fields are
            written as what all their values are.

    Raises:
        TerminalError: the file cannot be read, or has no events.
    """
    try:
        records = _read(path, kinds or {})
    except OSError as error:
        raise TerminalError(
            f"{path} cannot be read: {error.strerror or error}", "give the path of a readable file"
        ) from None
    except ValueError as error:
        raise TerminalError(f"{path} cannot be read: {error}", "fix the file, or convert it to JSON Lines") from None
    if not len(records):
        raise TerminalError(f"{path} has no events", "give a file with at least one")
    return records


def _read(path: Path, kinds: Mapping[str, str]) -> Records:
    # Imported here: JSON needs no Arrow, whose import takes a while.
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        from producers.files.json_files import read_json_lines

        return read_json_lines(path)
    if suffix in (".json", ".geojson"):
        from producers.files.json_files import read_json

        return read_json(path)
    if suffix in (".csv", ".tsv"):
        from producers.files.csv_files import read_csv

        return read_csv(path, kinds)
    if suffix == ".parquet":
        from producers.files.parquet_files import read_parquet

        return read_parquet(path)
    raise TerminalError(f"{path}: unknown format", f"give a file that ends with {', '.join(SUFFIXES)}")
