"""What a comparison reports, given what was read of Kafka, the lake and the warehouse."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from sluice.reconcile.comparison import Comparison, compare
from sluice.reconcile.lake import LakeSide
from sluice.reconcile.offsets import OffsetSet
from sluice.reconcile.tally import OffsetSum, offset_sum
from sluice.reconcile.warehouse import Ledger, WarehouseSide
from sluice.warehouse.dates import DateStatus

KEY = ("topic", 0)
FIRST, SECOND = date(2013, 1, 1), date(2013, 1, 2)
NOW = datetime(2013, 2, 1, tzinfo=UTC)


def sums(start: int, end: int) -> OffsetSum:
    return offset_sum(np.arange(start, end))


def status(day: date, rows: int, quarantined: int = 0, late: int = 0) -> DateStatus:
    return DateStatus(day, rows, quarantined, 0, late, 0, 1, NOW, NOW, False, True)


def lake(start: int = 6, end: int = 10, ledger: int = 10) -> LakeSide:
    """Offsets 0 to 3 are of the first date, 4 to 7 of the second, and the others of the first. Read from ``start``."""
    offsets = OffsetSet()
    offsets.add(np.arange(start, end))
    tally = {(*KEY, SECOND): sums(max(start, 4), 8), (*KEY, FIRST): sums(0 if start == 0 else 8, ledger)}
    if start == 0:
        tally[*KEY, FIRST] = sums(0, 4) + sums(8, ledger)
    return LakeSide(
        {KEY: end},
        {KEY: 0},
        {FIRST: end - 4, SECOND: 4},
        Counter({SECOND: 8 - max(start, 4), FIRST: end - 8 if start else end - 4}),
        tally,
        {KEY: offsets},
    )


def warehouse(recounted: set[date] | None = frozenset({FIRST})) -> WarehouseSide:
    """Offsets below 6 were verified; offset 9 is in quarantine. All rows of the first date were counted."""
    return WarehouseSide(
        {KEY: Ledger(10, 10)},
        {KEY: 6},
        Counter({KEY: 6}),
        Counter({FIRST: 4, SECOND: 2}),
        frozenset(recounted),
        {(*KEY, FIRST): sums(0, 4)},
        {(*KEY, FIRST): sums(0, 4) + sums(8, 9), (*KEY, SECOND): sums(6, 8)},
        {(*KEY, FIRST): sums(9, 10)},
        {FIRST: status(FIRST, 5, 1), SECOND: status(SECOND, 4)},
    )


def check(of_lake: LakeSide, of_warehouse: WarehouseSide, end: int = 10) -> Comparison:
    return compare("a.b", of_lake, of_warehouse, {KEY: end})


def test_what_was_verified_and_what_was_read_since_are_compared_as_one() -> None:
    result = check(lake(), warehouse())
    assert result.faults == []
    assert [(row.event_date, row.lake, row.raw, row.quarantined) for row in result.rows] == [
        (FIRST, 6, 5, 1),
        (SECOND, 4, 4, 0),
    ]
    assert result.totals.in_flight == 0


def test_a_first_comparison_counts_everything() -> None:
    side = replace(warehouse(), verified={}, verified_records=Counter(), verified_dates=Counter(), recounted=None)
    side = replace(side, recorded={}, raw={**side.raw, (*KEY, SECOND): sums(4, 8)})
    assert check(lake(0), side).faults == []
    side.raw.pop((*KEY, SECOND))
    assert "a.b/0 2013-01-02: the lake has 4 rows, the warehouse 0 and 0 in quarantine" in check(lake(0), side).faults


def test_what_is_in_flight_is_counted_and_no_disagreement() -> None:
    # Two more offsets in the lake, and seven more in Kafka alone.
    result = check(lake(end=12), warehouse(), end=19)
    assert result.faults == []
    assert (result.totals.kafka, result.totals.lake, result.totals.warehouse) == (19, 12, 10)
    assert result.totals.in_flight == 9
    assert [row.lake for row in result.rows] == [6, 4]


def _lose_a_raw_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    side.raw[*KEY, SECOND] = sums(6, 7)


def _exchange_a_raw_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    side.raw[*KEY, SECOND] = sums(6, 7) + sums(9, 10)


def _lose_a_verified_raw_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    side.raw[*KEY, FIRST] = sums(1, 4) + sums(8, 9)


def _wrong_statistics(of_lake: LakeSide, side: WarehouseSide) -> None:
    side.statuses[SECOND] = status(SECOND, 5)


def _delete_a_lake_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    of_lake.logged[SECOND] = 3


def _duplicate_a_lake_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    of_lake.offsets[KEY].add(np.array([7]))


def _lose_a_read_row(of_lake: LakeSide, side: WarehouseSide) -> None:
    of_lake.offsets[KEY] = OffsetSet()
    of_lake.offsets[KEY].add(np.arange(7, 10))


def _row_of_no_commit(of_lake: LakeSide, side: WarehouseSide) -> None:
    of_lake.offsets[KEY].add(np.array([10]))


def _lake_of_an_older_copy(of_lake: LakeSide, side: WarehouseSide) -> None:
    of_lake.next_offsets[KEY] = 9


def _ledger_of_fewer_records(of_lake: LakeSide, side: WarehouseSide) -> None:
    side.ledger[KEY] = Ledger(10, 9)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_lose_a_raw_row, "a.b/0 2013-01-02: the lake has 2 rows, the warehouse 1 and 0 in quarantine"),
        (
            _exchange_a_raw_row,
            "a.b/0 2013-01-02: the lake has 2 rows, the warehouse 2 and 0 in quarantine, with different offsets",
        ),
        (_lose_a_verified_raw_row, "a.b/0 2013-01-01: the lake has 6 rows, the warehouse 4 and 1 in quarantine"),
        (_wrong_statistics, "a.b 2013-01-02: the lake has 4 rows, ops.dates records 5 and 0 in quarantine"),
        (_delete_a_lake_row, "a.b 2013-01-02: the lake's log has 3 rows, but 4 were verified"),
        (_duplicate_a_lake_row, "a.b/0: 1 rows of the lake are duplicated"),
        (_lose_a_read_row, "a.b/0: 1 offsets are missing from the lake"),
        (_row_of_no_commit, "a.b/0: 1 rows of the lake belong to no commit"),
        (_lake_of_an_older_copy, "a.b/0: the lake has offsets up to 9, the warehouse up to 10"),
        (_ledger_of_fewer_records, "a.b/0: the lake has 10 rows below offset 10, the ledger counts 9"),
    ],
)
def test_damage_on_either_side_of_the_verified_prefix_is_a_fault(
    damage: Callable[[LakeSide, WarehouseSide], None], fault: str
) -> None:
    of_lake, side = lake(), warehouse()
    damage(of_lake, side)
    assert fault in check(of_lake, side).faults


def test_kafka_that_ends_before_the_lake_is_a_fault() -> None:
    assert "a.b/0: Kafka has offsets up to 8, the lake up to 10" in check(lake(), warehouse(), end=8).faults


def test_a_date_is_not_recounted_by_statistics_of_rows_that_it_does_not_have() -> None:
    side = warehouse({FIRST, SECOND})
    side.recorded[*KEY, SECOND] = sums(4, 6)
    assert any("the tables hold 2 and 0" in fault for fault in check(lake(), side).faults)
    side.raw[*KEY, SECOND] = sums(4, 8)
    assert check(lake(), side).faults == []
