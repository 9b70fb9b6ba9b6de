"""Fields that are not in the contract: endless names take bounded memory, and the usual few are counted exactly."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from sluice.contracts import Contract, load_contracts
from sluice.load.columns import read_columns
from sluice.load.unknown_fields import MAX_NAMES, OTHERS, UnknownFields, merge
from sluice.settings import ROOT


def _records(values: list[bytes]) -> pa.Table:
    times = pa.array([datetime(2013, 1, 1, tzinfo=UTC)] * len(values), pa.timestamp("us", "UTC"))
    keys = pa.nulls(len(values), pa.binary())
    return pa.table({"value": pa.array(values, pa.binary()), "timestamp": times, "key": keys})


def test_of_endless_names_the_rest_has_one() -> None:
    fields = UnknownFields()
    for row in range(3):
        fields.add((f"{row}/{number:05}" for number in range(MAX_NAMES)), row)
    found = fields.indices()
    assert len(found) == MAX_NAMES + 1
    assert found[OTHERS].tolist() == [1, 2]


def test_rows_with_the_same_names_are_found_by_each_of_them_whatever_else_was_found_before() -> None:
    fields, names = UnknownFields(), [{"a", "b"}, {"b"}, set(), {"a", "b"}, *({f"only {row}"} for row in range(30))]
    for row, of_row in enumerate(names * 2):
        fields.add(of_row, row)
    found = {name: rows.tolist() for name, rows in fields.indices().items()}
    assert found["a"] == [0, 3, 34, 37]
    assert found["b"] == [0, 1, 3, 34, 35, 37]
    assert found["only 29"] == [33, 67]
    assert len(found) == 32


def test_parts_of_a_batch_have_together_no_more_names() -> None:
    parts = [{f"{part}/{number}": np.array([0, 1]) for number in range(MAX_NAMES)} for part in range(2)]
    merged = merge([(0, parts[0]), (10, parts[1])])
    assert len(merged) == MAX_NAMES + 1
    assert merged[OTHERS].tolist() == [10, 11]
    assert merged["0/5"].tolist() == [0, 1]


def test_events_with_other_fields_each_are_valid_and_their_names_bounded() -> None:
    contract = load_contracts(ROOT / "contracts")["flights.cancelled"]
    event = json.loads((ROOT / "contracts/examples/flights.cancelled.copy_of_a_flight.pass.json").read_bytes())
    values = [json.dumps(event | {f"{row} {number}": 1 for number in range(500)}).encode() for row in range(10)]
    columns = read_columns(contract, _records(values))
    assert columns.is_valid.to_pylist() == [True] * len(values)
    assert len(columns.unknown) == MAX_NAMES + 1


def test_fields_inside_objects_that_a_contract_reads_by_a_path_are_counted_by_their_paths() -> None:
    columns = [
        {"name": "mag", "type": "float64", "from": "properties.mag", "description": "Magnitude."},
        {"name": "depth", "type": "float64", "from": "geometry.coordinates[2]", "description": "Depth."},
    ]
    contract = load_contracts(ROOT / "contracts")["flights.cancelled"].model_dump(exclude_none=True) | {
        "columns": columns, "key": None, "event_time": "record"
    }  # fmt: skip
    quakes = [{"mag": 1}, {"mag": 2, "newField": 3}, {"mag": None, "newField": None, "place": "x"}]
    values = [json.dumps({"properties": quake, "geometry": {"coordinates": [1, 2, 3]}}).encode() for quake in quakes]
    found = read_columns(Contract.model_validate(contract), _records(values)).unknown
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "properties.newField": [1, 2],
        "properties.place": [2],
    }
