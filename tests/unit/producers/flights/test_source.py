from datetime import date

import pyarrow.compute as pc
import pytest

from producers.flights import source
from sluice.errors import TerminalError


def test_a_range_has_the_rows_of_its_local_dates_both_ends_included() -> None:
    assert len(source.flights(date(2013, 1, 1), date(2013, 1, 31))) == 27_004
    assert len(source.flights(date(2013, 1, 1), date(2013, 1, 1))) == 842
    assert len(source.weather(date(2013, 1, 1), date(2013, 1, 31))) == 2_226


def test_december_31_reaches_into_the_next_year_in_utc() -> None:
    hours = source.flights(date(2013, 12, 31), date(2013, 12, 31))["time_hour"]
    assert str(pc.max(hours)) == "2014-01-01 04:00:00"


def test_unknown_values_are_null() -> None:
    flights = source.flights(date(2013, 1, 1), date(2013, 1, 31))
    assert flights["dep_time"].null_count == 521
    assert flights["tailnum"].null_count > 0
    assert "NA" not in flights["tailnum"].to_pylist()


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (date(2013, 2, 1), date(2013, 1, 31), "empty"),
        (date(2012, 12, 31), date(2013, 1, 1), "no data for 2012-12-31"),
        (date(2013, 12, 31), date(2014, 1, 1), "no data for 2014-01-01"),
    ],
)
def test_a_range_outside_the_data_is_an_error_of_one_line(first: date, last: date, message: str) -> None:
    with pytest.raises(TerminalError, match=message) as caught:
        source.flights(first, last)
    assert "\n" not in str(caught.value)
