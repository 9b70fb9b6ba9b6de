"""Paths find a value within an event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contracts.paths import MISSING, fields_beside, format_path, objects_inside, parse_path, resolve

EVENT = {"id": 1, "properties": {"mag": 2.5, "odd name": "x", "a.b": None}, "coordinates": [1, [2, 3]], "Ünï": "u"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("id", 1),
        ("$.id", 1),
        ("properties.mag", 2.5),
        ('properties["odd name"]', "x"),
        ("properties['a.b']", None),
        ('$["properties"]["mag"]', 2.5),
        ("coordinates[0]", 1),
        ("coordinates[1][1]", 3),
        ("Ünï", "u"),
        ("ID", MISSING),
        ("properties.none", MISSING),
        ("properties[0]", MISSING),
        ("coordinates[2]", MISSING),
        ("coordinates.length", MISSING),
        ("id.x", MISSING),
    ],
)
def test_a_path_leads_to_its_value(text: str, value: Any) -> None:
    assert resolve(EVENT, parse_path(text)) is value or resolve(EVENT, parse_path(text)) == value


@pytest.mark.parametrize(
    "text", ["", "$", ".a", "a.", "a..b", "[0]", "a b", "a[b]", "a[-1]", "$a", 'a["]', "a[]", "a["]
)
def test_what_is_not_a_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a path such as properties\.mag"):
        parse_path(text)


_names = st.text(min_size=1, max_size=5).filter(lambda name: not ('"' in name and "'" in name))


@given(st.tuples(_names, st.lists(st.one_of(_names, st.integers(0, 999_999)), max_size=3)))
def test_a_path_survives_being_written(parts: tuple[str, list[str | int]]) -> None:
    path = (parts[0], *parts[1])
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        (["id"], []),
        (["id", "properties.mag"], ['properties["a.b"]', 'properties["odd name"]']),
        (["properties.mag", 'properties["odd name"]', "properties['a.b']"], []),
        # A path that ends at an object reads all of it.
        (["properties", "properties.mag"], []),
        (["items[0].unit.name"], ["items[0].count", "items[0].unit.factor"]),
        (["items[1].name", "coordinates[0]"], ["items[1].new"]),
        (["items[2].name", "id.x"], []),
        # The event has an object in place of the array.
        (["properties[0]"], ["properties.mag", 'properties["a.b"]', 'properties["odd name"]']),
    ],
)
def test_fields_beside_a_path_are_found_in_the_objects_that_it_leads_into(paths: list[str], fields: list[str]) -> None:
    items = [{"unit": {"name": "kg", "factor": 1}, "count": 2}, {"name": "x", "new": {"y": 1}}]
    event = EVENT | {"items": items}
    assert sorted(fields_beside(event, objects_inside(map(parse_path, paths)))) == fields
