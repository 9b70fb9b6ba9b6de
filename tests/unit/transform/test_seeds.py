"""The reference tables: built once, and again only after a file has changed or for a new warehouse."""

from collections.abc import Callable, Iterator

import pytest

from sluice.transform import seeds
from sluice.transform.dbt import Dbt
from sluice.transform.seeds import record_seeds, seeds_differ

MakeDbt = Callable[..., Dbt]


@pytest.fixture
def existing_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The names of the tables that exist in the warehouse."""
    tables: set[str] = set()
    monkeypatch.setattr(seeds, "_tables_exist", lambda connection, names: set(names) <= tables)
    yield tables


def test_reference_tables_are_built_once(make_dbt: MakeDbt, existing_tables: set[str]) -> None:
    dbt = make_dbt()
    dbt.home.mkdir(parents=True)
    (dbt.project / "seeds" / "airlines.csv").write_text("carrier,name\nUA,United\n")
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
    existing_tables.add("airlines")
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
    record_seeds(dbt)
    assert not seeds_differ(None, dbt)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["content", "another file", "a new warehouse"])
def test_reference_tables_are_rebuilt_after_a_change(make_dbt: MakeDbt, existing_tables: set[str], change: str) -> None:
    dbt = make_dbt()
    dbt.home.mkdir(parents=True)
    file = dbt.project / "seeds" / "airlines.csv"
    file.write_text("carrier,name\nUA,United\n")
    existing_tables |= {"airlines", "airports"}
    record_seeds(dbt)
    if change == "content":
        file.write_text("carrier,name\nUA,United Air Lines\n")
    elif change == "another file":
        (file.parent / "airports.csv").write_text("faa\nJFK\n")
    else:
        existing_tables.clear()
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
