"""The reconciliation of the second warehouse: each disagreement is named with its partition and first offset."""

from dataclasses import replace

import pytest

from sluice.errors import TerminalError
from sluice.lakehouse.reconciliation import LakehouseReconciliation, PartitionCounts

COUNTS = PartitionCounts(
    stream="flights.departed",
    topic_id="t",
    partition=1,
    claimed=1_100,
    lake=1_100,
    raw=990,
    quarantined=10,
    in_flight=100,
    distinct=1_100,
    missing=0,
    first_missing=None,
    repeated=0,
    first_repeated=None,
    foreign=0,
    first_foreign=None,
)


def test_a_stream_that_agrees_is_one_line_and_so_is_one_without_records() -> None:
    reconciliation = LakehouseReconciliation(["flights.departed", "orders"], [COUNTS, replace(COUNTS, partition=2)])
    reconciliation.require_agreement()
    assert list(reconciliation.lines()) == [
        "stream             lake    raw  quarantine  in flight",
        "flights.departed  2,000  1,980          20        200",
        "orders                0      0           0          0",
        "everything agrees",
    ]


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        (
            replace(COUNTS, missing=2, first_missing=7),
            "2 offsets of the lake are not in Spark's warehouse, the first is 7",
        ),
        (
            replace(COUNTS, repeated=1_000, first_repeated=0),
            "1,000 offsets are in Spark's warehouse more than once, the first is 0",
        ),
        (
            replace(COUNTS, foreign=1, first_foreign=9),
            "1 offsets are in Spark's warehouse and not in the lake, the first is 9",
        ),
        (replace(COUNTS, lake=1_103), "3 rows of the lake are duplicated"),
        (replace(COUNTS, claimed=1_101), "1 offsets are missing from the lake"),
        (replace(COUNTS, claimed=1_098), "2 rows of the lake belong to no commit"),
    ],
)
def test_a_disagreement_is_named(counts: PartitionCounts, fault: str) -> None:
    reconciliation = LakehouseReconciliation(["flights.departed"], [counts])
    assert list(reconciliation.lines())[-2:] == [f"flights.departed/1: {fault}", "1 disagreements"]
    with pytest.raises(TerminalError, match=f"disagree: flights.departed/1: {fault}"):
        reconciliation.require_agreement()


def test_a_partition_that_has_lost_every_row_is_named() -> None:
    counts = PartitionCounts("flights.departed", "t", 1, claimed=5)
    assert list(counts.faults()) == ["flights.departed/1: 5 offsets are missing from the lake"]
