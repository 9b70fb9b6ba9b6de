"""Columns have names that are unique and need no quotes in SQL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contracts.inference.names import column_names, snake_case
from sluice.contracts.model import Column
from sluice.contracts.paths import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("magType", "mag_type"),
        ("HTTPServer", "http_server"),
        ("Odd name (m/s)", "odd_name_m_s"),
        ("Été", "ete"),
        ("already_snake", "already_snake"),
        ("ID", "id"),
        ("userID2", "user_id2"),
        ("日本", ""),
    ],
)
def test_names_are_in_snake_case(text: str, expected: str) -> None:
    assert snake_case(text) == expected


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([("properties", "mag")], ["mag"]),
        ([("type",), ("properties", "type"), ("geometry", "type")], ["type", "properties_type", "geometry_type"]),
        ([("a", "b", "x"), ("c", "b", "x")], ["a_b_x", "c_b_x"]),
        ([("magType",), ("mag_type",)], ["mag_type", "mag_type_2"]),
        ([("geometry", "coordinates", index) for index in range(3)], ["longitude", "latitude", "coordinates_2"]),
        ([("position", 0), ("position", 1)], ["position_0", "position_1"]),
        ([("order",), ("user",), ("xmin",), ("2013",), ("日本",)],
         ["order_value", "user_value", "xmin_value", "field_2013", "field"]),
    ],
)  # fmt: skip
def test_a_name_has_as_many_steps_of_its_path_as_it_needs(paths: list[Path], names: list[str]) -> None:
    assert list(column_names(paths).values()) == names


@given(st.lists(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=3).map(tuple), min_size=1, unique=True))
def test_every_path_has_a_name_of_its_own_that_a_contract_accepts(paths: list[Path]) -> None:
    names = column_names(paths)
    assert list(names) == paths
    assert len(set(names.values())) == len(paths)
    for name in names.values():
        Column(name=name, type="string", description="-")
