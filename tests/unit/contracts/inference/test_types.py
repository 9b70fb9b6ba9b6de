"""The inferred type holds every value of the sample exactly, and says when a person may want another."""

import json
from typing import Any

import pytest

from sluice.contracts.inference import parse_json
from sluice.contracts.inference.types import Typing, declared_type, infer_type

UUID = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"


def infer(values: str, name: str = "value") -> Typing:
    """Returns the type of the values of a JSON list."""
    parsed: list[Any] = parse_json(values)
    return infer_type((name,), parsed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("[true, false]", "boolean"),
        ("[1, -7]", "int32"),
        ("[1, 99999999]", "int32"),
        ("[1, 100000000]", "int64"),
        ("[9223372036854775807]", "int64"),
        ("[9223372036854775808]", "decimal(38, 0)"),
        ("[1.5, 2]", "decimal(4, 1)"),
        ("[-123.25]", "decimal(7, 2)"),
        ("[0.0001]", "decimal(7, 4)"),
        ("[0.00001]", "float64"),
        ("[1.5, 0.30000000000000004]", "float64"),
        ("[1e3, 2.5]", "float64"),
        ("[1e308, 1e-99999999999999999999]", "float64"),
        ("[1e999999999, 1]", "json"),
        ("[-1e99999999999999999999]", "json"),
        (f"[{'9' * 400}.5]", "json"),
        (f"[{'9' * 5000}, 1.5]", "json"),
        (f"[{'9' * 5000}]", "json"),
        ('["a", ""]', "string"),
        ('["12.50", "-3.25"]', "decimal(6, 2)"),
        ('["12.50", "3.5"]', "string"),
        ('["1", "2"]', "string"),
        ('["2018-02-07", "2018-12-31"]', "date"),
        ('["2018-02-30"]', "string"),
        ('["2018-02-07T01:26:13Z", "2018-02-07T01:26:13.123456789+01:00"]', "timestamp"),
        ('["2018-02-07 01:26:13Z"]', "timestamp"),
        ('["2018-02-30T01:26:13Z"]', "string"),
        ('["01:26:13", "23:59:59.5"]', "time"),
        ('["25:00:00"]', "string"),
        (f'["{UUID}"]', "uuid"),
        (f'["{UUID}", "x"]', "string"),
        ('[["a"], [], ["b", null]]', "array(string)"),
        ("[[1, 2.5]]", "array(decimal(4, 1))"),
        ("[[1], [[2]]]", "json"),
        ('[[{"a": 1}]]', "json"),
        ('[[1, "a"]]', "json"),
        ("[[]]", "json"),
        ("[]", "json"),
        ('[1, "a"]', "json"),
        ("[1, true]", "json"),
        ("[{}]", "json"),
    ],
)
def test_the_type_holds_every_value_of_the_sample(values: str, expected: str) -> None:
    assert infer(values).type == expected


def test_a_decimal_has_room_for_two_more_digits_before_its_point() -> None:
    assert infer("[9.5]").type == "decimal(4, 1)"
    assert infer("[999.5]").type == "decimal(6, 1)"


def test_the_digits_of_a_number_are_those_of_its_text() -> None:
    # As a float, the first would be 1.5, and the second would have 17 digits.
    assert infer("[1.50]").type == "decimal(5, 2)"
    assert infer("[12345678901234567.25]").type == "decimal(21, 2)"


@pytest.mark.parametrize(
    ("value", "format"),
    [(1517966773, "epoch_s"), (1517966773.5, "epoch_s"), (1517966773840, "epoch_ms"), (1517966773840123, "epoch_us")],
)
@pytest.mark.parametrize("name", ["time", "updated", "createdAt", "event_ts", "lastSeen", "TIMESTAMP"])
def test_a_number_with_the_name_of_a_time_is_one_in_this_century(value: float, format: str, name: str) -> None:  # noqa: A002
    assert infer(json.dumps([value, value + 1]), name).format == format


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ("[1517966773840]", "count"),
        ("[1517966773840]", "latitude"),
        ("[12, 30]", "time"),
        ("[1517966773, 1517966773840]", "time"),
        ("[1517966773840123456]", "time"),
    ],
)
def test_other_numbers_are_not_times(values: str, name: str) -> None:
    typing = infer(values, name)
    assert (typing.type, typing.format) in (("int32", ""), ("int64", ""))


def test_times_without_a_zone_get_one_that_a_person_decides_about() -> None:
    typing = infer('["2018-02-07T01:26:13", "2018-02-07T01:26:13.5"]')
    assert (typing.type, typing.zone) == ("timestamp", "UTC")
    assert "without a zone" in typing.why
    assert infer('["2018-02-07T01:26:13", "2018-02-07T01:26:13Z"]').type == "string"


def test_times_finer_than_a_microsecond_are_said_to_be_cut() -> None:
    assert "which are cut" in infer('["2018-02-07T01:26:13.1234567Z"]').why
    assert infer('["2018-02-07T01:26:13.123456Z"]').why == ""


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("decimal(38, 9)", "[12.340000000, 99999.990000000]", "decimal(38, 9)"),
        ("decimal(38, 30)", "[0.5]", "decimal(38, 30)"),
        ("decimal(20, 0)", "[1517966773840]", "decimal(20, 0)"),
        ("decimal(9, 2)", "[]", "decimal(9, 2)"),
        ("decimal(60, 2)", "[-12.34]", "decimal(38, 2)"),
        ("decimal(60, 2)", f"[{'9' * 36}.00]", "decimal(38, 2)"),
        ("decimal(60, 2)", f"[{'9' * 37}.00]", "decimal(60, 2)"),
        ("decimal(60, 50)", "[0.5]", "decimal(60, 50)"),
        ("array(decimal(60, 2))", "[[12.34, null], []]", "array(decimal(38, 2))"),
        ("array(decimal(5, 2))", "[[12.34]]", "array(decimal(5, 2))"),
    ],
)
def test_a_decimal_that_a_file_declares_is_one_with_at_most_38_digits_unless_it_needs_more(
    declared: str, values: str, expected: str
) -> None:
    assert declared_type(declared, parse_json(values)).type == expected


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN is not JSON"):
        parse_json("[NaN]")
