"""The reference tables: built once, and again only when a file or the warehouse is another one."""

from collections.abc import Callable, Iterator

import pytest

from sluice.transform import seeds
from sluice.transform.dbt import Dbt
from sluice.transform.seeds import build_seeds

MakeDbt = Callable[..., Dbt]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The tables that the warehouse has."""
    tables: set[str] = set()
    monkeypatch.setattr(seeds, "_all_there", lambda connection, names: set(names) <= tables)
    yield tables


def builds(dbt: Dbt) -> int:
    file = dbt.project / "arguments"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_they_are_built_once(make_dbt: MakeDbt, there: set[str], said: list[str]) -> None:
    dbt = make_dbt("mkdir -p $DBT_TARGET_PATH")
    (dbt.project / "seeds" / "airlines.csv").write_text("carrier,name\nUA,United\n")
    build_seeds(None, dbt)  # type: ignore[arg-type]
    there.add("airlines")
    build_seeds(None, dbt)  # type: ignore[arg-type]
    assert builds(dbt) == 1
    assert "--selector setup" in (dbt.project / "arguments").read_text()


def test_they_are_built_again_for_a_changed_file_and_for_a_new_warehouse(make_dbt: MakeDbt, there: set[str]) -> None:
    dbt = make_dbt("mkdir -p $DBT_TARGET_PATH")
    file = dbt.project / "seeds" / "airlines.csv"
    file.write_text("carrier,name\nUA,United\n")
    build_seeds(None, dbt)  # type: ignore[arg-type]
    there.add("airlines")
    file.write_text("carrier,name\nUA,United Air Lines\n")
    build_seeds(None, dbt)  # type: ignore[arg-type]
    assert builds(dbt) == 2
    there.clear()
    build_seeds(None, dbt)  # type: ignore[arg-type]
    assert builds(dbt) == 3
