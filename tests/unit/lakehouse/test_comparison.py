"""The comparison of two warehouses: each difference is named with its mart and date."""

from datetime import date

import pytest

from sluice.errors import TerminalError
from sluice.lakehouse.comparison import Checksums, Comparison
from sluice.warehouse.checksum import Checksum

FIRST, SECOND = date(2013, 1, 14), date(2013, 1, 15)
MARTS: Checksums = {
    "dim_carrier": {None: Checksum(16, "7")},
    "fct_flights": {FIRST: Checksum(900, "40"), SECOND: Checksum(910, "50")},
}


def test_equal_marts_have_no_difference() -> None:
    comparison = Comparison(MARTS, MARTS)
    comparison.require_equality()
    assert list(comparison.lines()) == [
        "dim_carrier                       16 rows    no dates  equal",
        "fct_flights                    1,810 rows     2 dates  equal",
    ]


@pytest.mark.parametrize(
    ("spark", "expected"),
    [
        (
            MARTS | {"fct_flights": {FIRST: Checksum(900, "40"), SECOND: Checksum(910, "51")}},
            "fct_flights, 2013-01-15: 910 rows in both, with different values",
        ),
        (
            MARTS | {"fct_flights": {FIRST: Checksum(900, "40")}},
            "fct_flights, 2013-01-15: Postgres has 910 rows, Spark 0",
        ),
        (MARTS | {"dim_carrier": {None: Checksum(17, "9")}}, "dim_carrier: Postgres has 16 rows, Spark 17"),
        (MARTS | {"agg_new": {FIRST: Checksum(1, "1")}}, "agg_new, 2013-01-14: Postgres has 0 rows, Spark 1"),
        ({"fct_flights": MARTS["fct_flights"]}, "dim_carrier: Postgres has 16 rows, Spark 0"),
    ],
    ids=["another value", "a missing date", "another row", "a mart that Postgres lacks", "a mart that Spark lacks"],
)
def test_a_difference_is_named_with_its_mart_and_date(spark: Checksums, expected: str) -> None:
    comparison = Comparison(MARTS, spark)
    assert [difference.text() for difference in comparison.differences()] == [expected]
    assert list(comparison.lines())[-1] == expected
    with pytest.raises(TerminalError, match="differ in 1 marts and dates"):
        comparison.require_equality()
