"""Each type reads what is exactly one of its values, and gives the reason for everything else."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contracts import Contract
from sluice.contracts.model import Column
from sluice.contracts.validation import parse, validate_event
from sluice.contracts.values import ContractViolationError, read_value


def column(**fields: Any) -> Column:
    return Column.model_validate({"name": "x", "description": "A value.", **fields})


def read(target: Column, text: str) -> Any:
    return read_value(target, parse(b'{"x":' + text.encode() + b"}", exact=True)["x"], target.max_length)


def microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


AT = microseconds(datetime(2013, 1, 31, 23, 59, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("fields", "text", "value"),
    [
        ({"type": "decimal(5, 2)"}, "1.50", "1.50"),
        ({"type": "decimal(5, 2)"}, '"-999.99"', "-999.99"),
        ({"type": "decimal(5, 2)"}, "1.5000", "1.5000"),
        ({"type": "decimal(5, 2)"}, "1e2", "100"),
        ({"type": "decimal(5, 2)"}, "-0", "0"),
        ({"type": "decimal(5, 2)"}, "0e9999", "0"),
        ({"type": "decimal(38, 20)"}, "0.12345678901234567890", "0.12345678901234567890"),
        ({"type": "decimal(20, 0)"}, "12345678901234567890", "12345678901234567890"),
        ({"type": "time"}, '"23:59:59"', "23:59:59"),
        ({"type": "time"}, '"23:59:59.123456789"', "23:59:59.123456"),
        ({"type": "uuid"}, '"6F9619FF-8B86-D011-B42D-00C04FC964FF"', "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ({"type": "json"}, '{"a": [1.10, 1e400, null, "é\\n"]}', '{"a":[1.10,1e400,null,"é\\n"]}'),
        ({"type": "json"}, "[]", "[]"),
        ({"type": "json"}, "{}", "{}"),
        ({"type": "json"}, '"text"', '"text"'),
        ({"type": "array(string)"}, '["a", null, "", "NULL", "q\\"\\\\,{}"]', '{"a",NULL,"","NULL","q\\"\\\\,{}"}'),
        ({"type": "array(int32)"}, "[]", "{}"),
        ({"type": "array(boolean)"}, "[true, false]", "{true,false}"),
        ({"type": "array(date)"}, '["2013-01-31"]', "{2013-01-31}"),
        ({"type": "array(timestamp)"}, '["2013-01-31T23:59:59.5Z"]', '{"2013-01-31 23:59:59.500000+00:00"}'),
        ({"type": "array(decimal(5, 2))"}, "[1.25]", '{"1.25"}'),
        ({"type": "string", "enum": ["a", "b"]}, '"a"', "a"),
        ({"type": "string", "pattern": "[a-z]+"}, '"abc"', "abc"),
        ({"type": "timestamp"}, '"2013-01-31T23:59:59.9999999Z"', AT + 999_999),
        ({"type": "timestamp"}, '"2013-01-31t23:59:59z"', AT),
        ({"type": "timestamp"}, '"2013-01-31 23:59:59+00:00"', AT),
        ({"type": "timestamp", "zone": "America/New_York"}, '"2013-01-31T18:59:59"', AT),
        ({"type": "timestamp", "zone": "America/New_York"}, '"2013-02-01T00:59:59+01:00"', AT),
        ({"type": "timestamp", "zone": "America/New_York"}, '"2013-01-31"', AT - 68_399_000_000),
        ({"type": "timestamp", "zone": "UTC"}, '"2013-01-31"', AT - 86_399_000_000),
        # Midnight was left out when the clocks were put forward: it is read with the offset before.
        ({"type": "timestamp", "zone": "America/Sao_Paulo"}, '"2013-10-20"', 1_382_238_000_000_000),
        ({"type": "timestamp", "format": "epoch_s"}, "1359676799", AT),
        ({"type": "timestamp", "format": "epoch_s"}, "1359676799.25", AT + 250_000),
        ({"type": "timestamp", "format": "epoch_s"}, "-0.5", -500_000),
        ({"type": "timestamp", "format": "epoch_ms"}, "1359676799001", AT + 1_000),
        ({"type": "timestamp", "format": "epoch_ms"}, "1.359676799e12", AT),
        ({"type": "timestamp", "format": "epoch_us"}, "1359676799000001.9", AT + 1),
    ],
)
def test_a_valid_value_is_read_exactly(fields: dict[str, Any], text: str, value: Any) -> None:
    assert read(column(**fields), text) == value


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"type": "decimal(5, 2)"}, "1.234", "x: expected decimal(5, 2), found 1.234"),
        ({"type": "decimal(5, 2)"}, "1000", "x: expected decimal(5, 2), found 1000"),
        ({"type": "decimal(5, 2)"}, "1e400", "x: expected decimal(5, 2), found 1e400"),
        ({"type": "decimal(5, 2)"}, '"1,5"', 'x: expected decimal(5, 2), found "1,5"'),
        ({"type": "decimal(5, 2)"}, '"NaN"', 'x: expected decimal(5, 2), found "NaN"'),
        ({"type": "decimal(5, 2)"}, '"١"', "x: expected decimal(5, 2)"),
        ({"type": "decimal(5, 2)"}, "true", "x: expected decimal(5, 2), found true"),
        ({"type": "decimal(5, 2)", "maximum": 0.1}, "0.11", "x: 0.11 is above the maximum 0.1"),
        ({"type": "decimal(5, 2)", "minimum": 1}, "0.99", "x: 0.99 is below the minimum 1"),
        ({"type": "time"}, '"24:00:00"', "x: expected time"),
        ({"type": "uuid"}, '"6f9619ff8b86d011b42d00c04fc964ff"', "x: expected uuid"),
        ({"type": "json"}, '{"a": "\\u0000"}', "x: holds a character that no text column can hold"),
        ({"type": "json"}, '{"\\ud800": 1}', "x: holds a character that no text column can hold"),
        ({"type": "array(int32)"}, "5", "x: expected array(int32), found 5"),
        ({"type": "array(int32)"}, "[5000000000]", "x: expected int32, found 5000000000"),
        ({"type": "array(string)"}, '["\\u0000"]', "x: holds a character that no text column can hold"),
        ({"type": "array(timestamp)"}, '["0001-01-01T00:00:00Z"]', "x: outside the years 1900 to 2199"),
        ({"type": "string", "enum": ["a", "b"]}, '"c"', 'x: not one of the values that the contract lists, found "c"'),
        # Python's own engine would need longer than the universe exists.
        ({"type": "string", "pattern": "(a+)+b"}, f'"{"a" * 1_000}"', "x: does not match the contract's pattern"),
        ({"type": "string", "pattern": "\\d+"}, '"１"', "x: does not match the contract's pattern"),
        ({"type": "string", "pattern": "a|b"}, '"ab"', "x: does not match the contract's pattern"),
        ({"type": "string", "pattern": "[a-z]+"}, '"abc\\n"', "x: does not match the contract's pattern"),
        ({"type": "string", "pattern": "[a-z]+"}, '"abc1"', "x: does not match the contract's pattern"),
        ({"type": "string", "min_length": 2}, '"a"', "x: shorter than 2 characters"),
        ({"type": "timestamp"}, '"2013-01-31T23:59:59"', "x: expected timestamp"),
        ({"type": "timestamp"}, "1359676799", "x: expected timestamp, found 1359676799"),
        ({"type": "timestamp", "format": "epoch_s"}, '"2013-01-31T23:59:59Z"', "x: expected timestamp"),
        ({"type": "timestamp", "format": "epoch_s"}, "true", "x: expected timestamp, found true"),
        ({"type": "timestamp", "format": "epoch_ms"}, "1e300", "x: outside the years 1900 to 2199, found 1e300"),
        ({"type": "timestamp", "zone": "UTC"}, '"2013-02-30T00:00:00"', "x: expected timestamp"),
        ({"type": "timestamp", "zone": "UTC"}, '"2013-02-30"', "x: expected timestamp"),
        ({"type": "timestamp", "zone": "UTC"}, '"2013-2-3"', "x: expected timestamp"),
        ({"type": "timestamp", "zone": "UTC"}, '"1815-06-18"', "x: outside the years 1900 to 2199"),
        ({"type": "timestamp"}, '"2013-01-31"', "x: expected timestamp"),
        ({"type": "timestamp", "format": "epoch_s"}, '"2013-01-31"', "x: expected timestamp"),
    ],
)
def test_anything_else_has_a_reason(fields: dict[str, Any], text: str, reason: str) -> None:
    with pytest.raises(ContractViolationError) as raised:
        read(column(**fields), text)
    assert str(raised.value).startswith(reason)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_a_decimal_never_passes_through_a_float(number: Decimal) -> None:
    target = column(type="decimal(20, 4)")
    assert Decimal(read(target, str(number))) == number
    assert Decimal(read(target, f'"{number}"')) == number


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner)
        ),
    )
)
def test_json_stays_the_same_document(document: Any) -> None:
    assert document is None or json.loads(read(column(type="json"), json.dumps(document))) == document


def _contract(**fields: Any) -> Contract:
    columns = [
        {"name": "key", "type": "string", "nullable": False, "from": ["after.id", "before.id"], "description": "Id."},
        {"name": "name", "type": "string", "from": "after.name", "description": "Name."},
    ]
    return Contract.model_validate(
        {
            "stream": "a.b",
            "description": "Changes.",
            "owner": "tests",
            "topic": {"partitions": 1, "retention_bytes": 1 << 20},
            "key": "key",
            "id": "key",
            "event_time": "record",
            "lateness": "1h",
            "load": {"schedule": "* * * * *"},
            "columns": columns,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("value", "values", "reason"),
    [
        (b'{"before": null, "after": {"id": "7", "name": "n"}}', {"key": "7", "name": "n"}, ""),
        (b'{"before": {"id": "7"}, "after": null}', {"key": "7", "name": None}, ""),
        (b'{"before": {"id": null}}', None, "key: null, but it is required"),
        (b'{"other": 1}', None, "key: missing, but it is required"),
    ],
)
def test_a_column_has_the_first_of_its_paths_with_a_value(value: bytes, values: Any, reason: str) -> None:
    event, found = validate_event(_contract(), value, datetime(2013, 1, 1, tzinfo=UTC))
    assert (event and event.values, found) == (values, reason)


@pytest.mark.parametrize(
    ("value", "unknown"),
    [
        (b'{"after": {"id": "7", "name": "n"}}', set()),
        (b'{"after": {"id": "7", "x": 1}, "op": "c"}', {"op", "after.x"}),
        (b'{"before": {"odd name": 1, "it.em": 2}, "after": {"id": "7"}}', {'before["odd name"]', 'before["it.em"]'}),
        # No column is taken from what is below these: each is one field, or none that a path leads into.
        (b'{"after": {"id": "7"}, "source": {"x": 1}}', {"source"}),
        (b'{"after": {"id": "7"}, "before": null}', set()),
        (b'{"after": {"id": "7"}, "before": [{"x": 1}]}', set()),
    ],
)
def test_fields_that_no_column_is_taken_from_are_unknown(value: bytes, unknown: set[str]) -> None:
    event, reason = validate_event(_contract(), value, datetime(2013, 1, 1, tzinfo=UTC))
    assert event is not None, reason
    assert event.unknown == unknown


def test_a_stream_by_record_time_needs_the_records_timestamp() -> None:
    assert validate_event(_contract(), b'{"after": {"id": "7"}}', None) == (None, "the record has no timestamp")


HUGE = ["1e999990", "-1e999990", "1e-999990", "0e999990", "1." + "9" * 200_000, "1" * 200_000 + ".5"]


@pytest.mark.parametrize("kind", ["epoch_s", "epoch_ms", "epoch_us"])
@pytest.mark.parametrize("text", HUGE, ids=lambda text: text[:12])
def test_a_number_of_a_few_bytes_takes_no_time_to_read(kind: str, text: str) -> None:
    contract = _contract(
        key=None, id=None, columns=[{"name": "at", "type": "timestamp", "format": kind, "description": "x"}]
    )
    started = process_time()
    _, reason = validate_event(contract, b'{"at":' + text.encode() + b"}", datetime(2013, 1, 1, tzinfo=UTC))
    # The digits of such a number are counted, never written out: that takes a minute.
    assert process_time() - started < 2
    is_huge = text.startswith(("1e9", "-1e9", "11"))
    assert reason.startswith("at: outside the years 1900 to 2199") if is_huge else reason == ""


def test_a_wide_object_takes_no_time_to_read() -> None:
    contract = _contract(key=None, id=None, columns=[{"name": "at", "type": "int32", "description": "x"}])
    fields = ",".join(f'"field {number}":1' for number in range(50_000))
    started = process_time()
    _, reason = validate_event(contract, f'{{{fields},"field 7":2}}'.encode(), datetime(2013, 1, 1, tzinfo=UTC))
    assert reason == "field 7: given twice"
    assert process_time() - started < 2


@pytest.mark.parametrize(("year", "valid"), [(1, False), (1899, False), (1900, True), (2199, True), (2200, False)])
def test_a_records_timestamp_has_the_years_of_a_column(year: int, valid: bool) -> None:
    contract = _contract(key=None, id=None, columns=[{"name": "v", "type": "int32", "description": "x"}])
    event, reason = validate_event(contract, b"{}", datetime(year, 6, 1, tzinfo=UTC))
    assert (event is not None) is valid
    assert valid or reason == "the record's timestamp is outside the years 1900 to 2199"
