"""Migrations are numbered without gaps; those that were not applied are pending, and an unknown one is refused."""

from pathlib import Path

import pytest

from sluice.errors import TerminalError
from sluice.warehouse.migrations import Migration, known_migrations, pending

FIRST, SECOND, THIRD = (Migration(version, name, "select 1") for version, name in enumerate(("a", "b", "c"), 1))


def test_the_migrations_are_numbered_from_1_without_gaps() -> None:
    versions = [migration.version for migration in known_migrations()]
    assert versions == list(range(1, len(versions) + 1))


def test_a_migration_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "0010_more_columns.sql").write_text("select 10")
    (tmp_path / "0009_a.sql").write_text("select 9")
    (tmp_path / "views.txt").touch()
    assert known_migrations(tmp_path) == [Migration(9, "a", "select 9"), Migration(10, "more_columns", "select 10")]


@pytest.mark.parametrize(
    ("applied", "expected"),
    [
        ([], [FIRST, SECOND, THIRD]),
        ([(1, "a")], [SECOND, THIRD]),
        ([(1, "a"), (2, "b"), (3, "c")], []),
    ],
)
def test_what_was_not_applied_is_pending_in_order(applied: list[tuple[int, str]], expected: list[Migration]) -> None:
    assert pending([FIRST, SECOND, THIRD], applied) == expected


@pytest.mark.parametrize("applied", [(4, "later"), (2, "another")])
def test_a_warehouse_with_an_unknown_migration_is_refused_in_one_line(applied: tuple[int, str]) -> None:
    with pytest.raises(TerminalError) as error:
        pending([FIRST, SECOND, THIRD], [(1, "a"), applied])
    assert f"{applied[0]:04}_{applied[1]}" in str(error.value)
    assert "newer" in str(error.value)
    assert "\n" not in str(error.value)
