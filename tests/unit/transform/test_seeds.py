"""The reference tables: built once, and again only when a file or the warehouse is another one."""

from collections.abc import Callable, Iterator

import pytest

from sluice.transform import seeds
from sluice.transform.dbt import Dbt
from sluice.transform.seeds import record_seeds, seeds_differ

MakeDbt = Callable[..., Dbt]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The tables that the warehouse has."""
    tables: set[str] = set()
    monkeypatch.setattr(seeds, "_all_there", lambda connection, names: set(names) <= tables)
    yield tables


def test_they_are_built_once(make_dbt: MakeDbt, there: set[str]) -> None:
    dbt = make_dbt()
    dbt.home.mkdir(parents=True)
    (dbt.project / "seeds" / "airlines.csv").write_text("carrier,name\nUA,United\n")
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
    there.add("airlines")
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
    record_seeds(dbt)
    assert not seeds_differ(None, dbt)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["content", "another file", "a new warehouse"])
def test_they_are_built_again_for_a_change(make_dbt: MakeDbt, there: set[str], change: str) -> None:
    dbt = make_dbt()
    dbt.home.mkdir(parents=True)
    file = dbt.project / "seeds" / "airlines.csv"
    file.write_text("carrier,name\nUA,United\n")
    there |= {"airlines", "airports"}
    record_seeds(dbt)
    if change == "content":
        file.write_text("carrier,name\nUA,United Air Lines\n")
    elif change == "another file":
        (file.parent / "airports.csv").write_text("faa\nJFK\n")
    else:
        there.clear()
    assert seeds_differ(None, dbt)  # type: ignore[arg-type]
