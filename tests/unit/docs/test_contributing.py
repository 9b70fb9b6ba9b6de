"""The tables of CONTRIBUTING.md name paths that exist."""

import re

import pytest

from sluice.settings import ROOT
from tests.unit.docs.markdown import table_rows

PAGE = ROOT / "CONTRIBUTING.md"
CHANGES = table_rows(PAGE, "Where a change belongs")
TESTS = table_rows(PAGE, "Tests")


def paths(cell: str) -> list[str]:
    """Returns the paths that a cell names as code."""
    return re.findall(r"`([^`]+)`", cell)


def test_at_least_ten_changes_have_a_place() -> None:
    assert len(CHANGES) >= 10
    assert all(paths(place) for _, place in CHANGES)


@pytest.mark.parametrize("path", sorted({path for _, place in CHANGES for path in paths(place)}))
def test_places_of_changes_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", [row[0].strip("`") for row in TESTS])
def test_folders_of_tests_exist(path: str) -> None:
    assert (ROOT / path).is_dir()
