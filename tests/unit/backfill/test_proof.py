"""The proof of a backfill: what changed on which date, and why, from the figures before and after."""

import json
from datetime import date
from pathlib import Path

import pytest

from sluice.backfill.proof import MAX_LISTED_DATES, Proof, prove
from sluice.backfill.request import Request, Unfinished, load_unfinished, save_unfinished, unfinished_path
from sluice.backfill.snapshot import Snapshot
from sluice.settings import Settings
from sluice.warehouse.checksum import Checksum

FIRST, SECOND = DAYS = (date(2013, 1, 14), date(2013, 1, 15))


def snapshot(rows: int = 5, content: str = "50", bad: int = 2, flights: str = "70", aircraft: int = 9) -> Snapshot:
    """Two dates; the arguments are the figures of the second one."""
    return Snapshot(
        {"flights.departed": [("t", 0, 100)]},
        {"flights.departed": {FIRST: Checksum(4, "40"), SECOND: Checksum(rows, content)}},
        {"flights.departed": {SECOND: bad}},
        {
            "dim_aircraft": {None: Checksum(aircraft, str(aircraft))},
            "fct_flights": {FIRST: Checksum(4, "60"), SECOND: Checksum(5, flights)},
        },
    )


def compared(after: Snapshot, arrived: int = 0) -> Proof:
    return prove(snapshot(), after, {"flights.departed": {SECOND: arrived}}, DAYS)


def test_equal_figures_prove_that_nothing_changed() -> None:
    proof = compared(snapshot())
    assert proof.holds
    assert not any(day.changed for day in proof.days)
    assert proof.text().splitlines()[-1] == (
        "nothing changed on these dates: the checksums of 9 raw rows and 9 marts rows of 2 dates agree before and after"
    )


@pytest.mark.parametrize(
    ("after", "arrived", "reason"),
    [
        (snapshot(7, "51", 0), 0, "2 left quarantine: they are valid now"),
        (snapshot(4, "51", 3), 0, "1 moved to quarantine"),
        (snapshot(8, "51"), 3, "3 arrived in the meantime"),
        (snapshot(7, "51", 3), 3, "3 arrived in the meantime; 1 moved to quarantine"),
        (snapshot(6, "51"), 0, "1 were missing from raw"),
        (snapshot(4, "51"), 0, "1 in raw were not in the lake"),
        (snapshot(content="51"), 0, "the same events parse differently: a contract or the parser changed"),
        (snapshot(flights="71"), 0, "raw is unchanged: a model changed, or another date of the same keys"),
    ],
)
def test_each_change_has_its_reason(after: Snapshot, arrived: int, reason: str) -> None:
    first, second = compared(after, arrived).days
    assert not first.changed
    assert second.changed
    assert "; ".join(second.reasons()) == reason
    assert reason in compared(after, arrived).text()


def test_an_undated_table_is_listed_once() -> None:
    lines = compared(snapshot(aircraft=11)).text().splitlines()
    assert [line for line in lines if "dim_aircraft +2 rows" in line] == ["undated tables         dim_aircraft +2 rows"]


def test_marts_dates_outside_the_request_are_listed_if_they_changed() -> None:
    before, after = snapshot(), snapshot()
    for day, content in ((date(2013, 1, 13), "2"), (date(2013, 1, 16), "1")):
        before.marts["fct_flights"][day] = Checksum(1, "1")
        after.marts["fct_flights"][day] = Checksum(1, content)
    lines = prove(before, after, {}, DAYS).text().splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"2013-01-13  changed    marts 1 rows {1:016x} -> 1 rows {2:016x}, outside the request",
        f"{'':<23}fct_flights values changed: raw is unchanged: a model changed, or another date of the same keys",
        f"2013-01-14  unchanged  raw 4 rows {40:016x}",
        f"2013-01-15  unchanged  raw 5 rows {50:016x}",
        "0 of 2 dates changed, and 1 outside the request: raw +0 rows, quarantine +0, marts +0 rows",
    ]


def test_of_many_dates_only_the_first_that_changed_are_listed() -> None:
    days = [date(2013, month, day) for month in (1, 3) for day in range(1, 29)]

    def rows(count: int) -> Snapshot:
        return Snapshot({}, {"a.b": {day: Checksum(count, str(count)) for day in days}}, {}, {})

    assert len(prove(rows(1), rows(1), {}, days).text().splitlines()) == 1
    lines = prove(rows(1), rows(2), {}, days).text().splitlines()
    assert lines[-2:] == [
        f"and {56 - MAX_LISTED_DATES} more changed dates",
        "56 of 56 dates changed: raw +56 rows, quarantine +0, marts +0 rows",
    ]


def test_a_proof_with_a_fault_shows_it_and_does_not_hold() -> None:
    proof = prove(snapshot(), snapshot(), {}, DAYS, ["a.b/0 2013-01-14: the lake has 3 rows"])
    assert not proof.holds
    assert proof.text().endswith("the lake has 3 rows")


def test_a_snapshot_survives_serialization() -> None:
    assert Snapshot.of(snapshot().fields()) == snapshot()


@pytest.mark.parametrize("earlier", [{}, {"hashes": "hashtext"}], ids=["before hashes had a name", "another kind"])
def test_a_backfill_that_another_release_began_starts_from_scratch(tmp_path: Path, earlier: dict[str, str]) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    begun = Unfinished(Request(FIRST, SECOND, ("flights.departed",), "all"), snapshot(), 1, "2026-01-01T00:00:00+00:00")
    save_unfinished(settings, begun)
    assert load_unfinished(settings) == begun
    file = unfinished_path(settings)
    saved = json.loads(file.read_text())
    del saved["before"]["hashes"]
    saved["before"] |= earlier
    file.write_text(json.dumps(saved))
    assert load_unfinished(settings) is None
