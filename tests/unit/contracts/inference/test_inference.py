"""The inferred contract is one: all records of the sample are valid by it, and what is a guess says so."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.files import open_records
from sluice.contracts import Contract, read_contract
from sluice.contracts.inference import Inference, infer, parse_json
from sluice.contracts.validation import validate_event
from tests.fixtures.quakes import COUNT, QUAKES

NOW = datetime(2018, 2, 7, tzinfo=UTC)


def infer_texts(texts: list[str | bytes]) -> Inference:
    return infer("quakes.reported", [parse_json(text) for text in texts], "you", "quakes.json")


def contract_of(inference: Inference, folder: Path) -> Contract:
    path = folder / "quakes.reported.yaml"
    path.write_text(inference.contract, encoding="utf-8")
    return read_contract(path)


@pytest.fixture(scope="module")
def quakes() -> list[bytes]:
    records = open_records(QUAKES)
    assert len(records) == COUNT
    return records.texts(range(COUNT))


@pytest.fixture
def contract(quakes: list[bytes], tmp_path: Path) -> Contract:
    return contract_of(infer_texts(list(quakes)), tmp_path)


def test_real_events_are_valid_by_their_inferred_contract(quakes: list[bytes], contract: Contract) -> None:
    assert [validate_event(contract, text, NOW)[1] for text in quakes] == [""] * COUNT


def test_the_contract_of_real_events(contract: Contract) -> None:
    assert (contract.event_time, contract.id_columns, contract.key) == ("time", ("id",), "id")
    columns = {column.name: (column.type, column.sources, column.nullable) for column in contract.columns}
    assert columns["mag"] == ("decimal(5, 2)", ("properties.mag",), False)
    assert columns["time"] == ("timestamp", ("properties.time",), False)
    assert columns["mag_type"] == ("string", ("properties.magType",), False)
    assert columns["felt"] == ("int32", ("properties.felt",), True)
    assert columns["longitude"] == ("float64", ("geometry.coordinates[0]",), False)
    assert columns["id"] == ("string", None, False)
    assert len(columns) == 32
    time = contract.column("time")
    assert time is not None
    assert time.format == "epoch_ms"


def test_limits_are_comments(quakes: list[bytes], contract: Contract) -> None:
    text = infer_texts(list(quakes)).contract
    assert "    # enum: [automatic, reviewed]\n" in text
    assert "    # maximum: " in text
    assert all(column.maximum is None and column.enum is None for column in contract.columns)


def test_uncommented_limits_are_those_of_the_sample(quakes: list[bytes], tmp_path: Path) -> None:
    text = infer_texts(list(quakes)).contract
    for limit in ("enum", "minimum", "maximum", "max_length"):
        text = text.replace(f"    # {limit}: ", f"    {limit}: ")
    path = tmp_path / "quakes.reported.yaml"
    path.write_text(text)
    contract = read_contract(path)
    assert [validate_event(contract, record, NOW)[1] for record in quakes] == [""] * COUNT
    stronger = json.loads(quakes[0])
    stronger["properties"]["mag"] = 9.5
    assert "above the maximum" in validate_event(contract, json.dumps(stronger).encode(), NOW)[1]


def test_names_differ_only_where_they_have_to(tmp_path: Path) -> None:
    contract = contract_of(infer_texts(['{"plain": 1, "Odd name": {"x.y": 2}}']), tmp_path)
    assert [(column.name, column.sources) for column in contract.columns] == [
        ("plain", None),
        ("x_y", ('$["Odd name"]["x.y"]',)),
    ]


def test_a_value_that_some_records_lack_is_nullable(tmp_path: Path) -> None:
    contract = contract_of(infer_texts(['{"a": 1, "b": 1, "c": {"d": 1}}', '{"a": 2, "b": null}']), tmp_path)
    assert {column.name: column.nullable for column in contract.columns} == {"a": False, "b": True, "d": True}


def test_arrays_of_objects_and_maps_are_json(tmp_path: Path) -> None:
    counts = {f"user{number}": number for number in range(30)}
    texts = [json.dumps({"items": [{"a": 1}], "tags": ["x"], "counts": {name: 1}}) for name in counts]
    contract = contract_of(infer_texts(list(texts)), tmp_path)
    types = {column.name: column.type for column in contract.columns}
    assert types == {"items": "json", "tags": "array(string)", "counts": "json"}


@pytest.mark.parametrize(
    ("fields", "event_time", "identity"),
    [
        ({"updated_at": "2018-02-07T00:00:00Z", "time": "2018-02-07T00:00:00Z"}, "time", ()),
        ({"updated_at": "2018-02-07T00:00:00Z", "seen_at": "2018-02-07T00:00:00Z"}, "seen_at", ()),
        ({"order_id": 7}, "record", ("order_id",)),
        ({"record": "2018-02-07T00:00:00Z"}, "record_value", ()),
        ({"order_id": 7, "event_id": "a"}, "record", ("event_id",)),
        ({"magnitude": 7}, "record", ()),
        ({"changed_on": "2018-02-07", "born": "1815-06-18", "day": "2018-02-07"}, "day", ()),
        ({"day": "1815-06-18"}, "day", ()),
        ({"day": "2018-02-07", "seen_at": "2018-02-07T00:00:00Z"}, "seen_at", ()),
        ({"id": 1.5}, "record", ()),
        ({"id": "x" * 257}, "record", ()),
    ],
)
def test_event_time_and_id_are_guessed_by_name(
    fields: dict[str, Any], event_time: str, identity: tuple[str, ...], tmp_path: Path
) -> None:
    contract = contract_of(infer_texts([json.dumps(fields)]), tmp_path)
    assert (contract.event_time, contract.id_columns) == (event_time, identity)


def test_a_column_that_repeats_or_lacks_values_is_no_id_and_no_time() -> None:
    inference = infer_texts(
        ['{"id": 1, "time": "2018-02-07T00:00:00Z"}', '{"id": 1, "time": null}', '{"id": 2, "time": null}']
    )
    assert (inference.id.name, inference.event_time.name) == ("", "record")


def test_only_the_date_that_is_the_event_time_becomes_a_timestamp(tmp_path: Path) -> None:
    texts: list[str | bytes] = [
        '{"updated": "2018-02-08", "day": "1815-06-18", "seen": "2018-02-08T00:00:00Z"}',
        '{"updated": "2018-02-08", "day": "2018-02-07", "seen": null}',
    ]
    inference = infer_texts(texts)
    contract = contract_of(inference, tmp_path)
    types = [(column.name, column.type, column.zone) for column in contract.columns]
    assert types == [("updated", "date", None), ("day", "timestamp", "UTC"), ("seen", "timestamp", None)]
    assert (inference.event_time.name, inference.event_time.others) == ("day", ("updated",))
    assert [validate_event(contract, str(text).encode(), NOW)[1] for text in texts] == ["", ""]


@pytest.mark.parametrize(
    ("records", "key"),
    [
        (['{"flight_id": "a", "x": 1}', '{"flight_id": "a", "x": 2}'], "flight_id"),
        (['{"flight_id": "a", "id": 1}', '{"flight_id": "a", "id": 2}'], "id"),
        (['{"flight_id": "a"}', '{"flight_id": null}'], None),
        (['{"place": "a"}', '{"place": "a"}'], None),
    ],
)
def test_the_key_is_the_id_or_what_else_has_the_name_of_one(
    records: list[str], key: str | None, tmp_path: Path
) -> None:
    assert contract_of(infer_texts(list(records)), tmp_path).key == key


@pytest.mark.parametrize(
    ("records", "name", "identity"),
    [
        (['{"event_id": "a"}', '{"event_id": "a"}'], "event_id", ("event_id",)),
        (['{"event_id": "a"}', '{"event_id": null}'], "event_id_value", ()),
        (['{"event_id": [1]}'], "event_id_value", ()),
        (['{"event_id": 1.5}'], "event_id_value", ()),
    ],
)
def test_a_column_event_id_is_the_id_or_has_another_name(
    records: list[str], name: str, identity: tuple[str, ...], tmp_path: Path
) -> None:
    inference = infer_texts(list(records))
    contract = contract_of(inference, tmp_path)
    assert ([column.name for column in contract.columns], contract.id_columns) == ([name], identity)
    assert inference.id.name == "".join(identity)


def test_a_field_that_no_contract_can_name_is_left_out() -> None:
    inference = infer_texts(['{"": 0, "a": 1}'])
    assert [column.name for column in inference.columns] == ["a"]
    assert inference.omitted == ('$[""]',)
    with pytest.raises(ValueError, match="no fields"):
        infer_texts(["{}"])


def test_years_beyond_the_default_are_declared(tmp_path: Path) -> None:
    texts: list[str | bytes] = ['{"at": "1815-06-18T11:35:00Z"}', '{"at": "2018-02-07T00:00:00Z"}']
    contract = contract_of(infer_texts(texts), tmp_path)
    assert [validate_event(contract, str(text).encode(), NOW)[1] for text in texts] == ["", ""]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False).map(float)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "event_id", "time", "order", "x.y"]), JSON, min_size=1), min_size=1)
)
@example([{"a": {"Yes": None}}])
@example([{"a": {"\0": None}, "x.y": {"\ud800": 1}}])
@example([{"off": 1, "null": "x", "~": "y", "1e3": 2, "No": "2013-01-01T00:00:00Z"}])
def test_whatever_records_hold_their_contract_is_one_and_they_are_valid(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    texts = [json.dumps(record) for record in records]
    contract = contract_of(infer_texts(list(texts)), tmp_path_factory.getbasetemp())
    reasons = {validate_event(contract, text.encode(), NOW)[1] for text in texts}
    # What no text column holds, no contract can allow.
    assert all(not reason or "no text column can hold" in reason for reason in reasons)
