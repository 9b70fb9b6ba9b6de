"""Late is what comes when its partition has already shown a later date."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from sluice.load.lateness import arrivals

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATENESS = timedelta(hours=2)


def _rows(*events: tuple[int, int, str]) -> pa.Table:
    """Rows of (partition, offset, event time)."""
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC) for _, _, time in events]
    return pa.table(
        {
            "topic_id": ["t"] * len(events),
            "partition": pa.array([partition for partition, _, _ in events], pa.int32()),
            "offset": [offset for _, offset, _ in events],
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            "event_date": pa.array([time.date() for time in times], pa.date32()),
        }
    )


def test_late_is_what_comes_after_its_dates_end_and_closed_after_the_lateness() -> None:
    rows = _rows(
        (0, 0, "2013-01-01T23:59"),
        (0, 1, "2013-01-01T10:00"),
        (0, 2, "2013-01-02T00:00"),
        (0, 3, "2013-01-01T23:00"),
        (0, 4, "2013-01-02T02:00"),
        (0, 5, "2013-01-01T23:00"),
        (0, 6, "2013-01-02T01:00"),
    )
    came = arrivals(rows, {}, LATENESS, NOW)
    assert came.late.tolist() == [False, False, False, True, False, True, False]
    assert came.after_close.tolist() == [False, False, False, False, False, True, False]
    assert came.watermarks == {("t", 0): datetime(2013, 1, 2, 2, tzinfo=UTC)}


def test_each_partition_has_its_own_watermark_and_the_order_is_that_of_offsets() -> None:
    rows = _rows((1, 8, "2013-01-01T10:00"), (0, 1, "2013-01-01T10:00"), (1, 7, "2013-01-03T00:00"))
    came = arrivals(rows, {}, LATENESS, NOW)
    assert came.late.tolist() == [True, False, False]
    assert came.watermarks[("t", 0)].date() == date(2013, 1, 1)


def test_the_watermark_goes_on_from_the_ledgers() -> None:
    before = {("t", 0): datetime(2013, 1, 2, tzinfo=UTC), ("u", 0): datetime(2013, 1, 9, tzinfo=UTC)}
    came = arrivals(_rows((0, 5, "2013-01-01T10:00")), before, LATENESS, NOW)
    assert came.late.tolist() == [True]
    assert came.after_close.tolist() == [False]
    assert came.watermarks == before


def test_a_time_that_has_not_come_yet_makes_nothing_late() -> None:
    rows = _rows((0, 0, "2099-01-01T00:00"), (0, 1, "2013-01-01T10:00"))
    came = arrivals(rows, {}, LATENESS, NOW)
    assert came.late.tolist() == [False, False]
    assert came.watermarks == {("t", 0): datetime(2013, 1, 1, 10, tzinfo=UTC)}
    assert arrivals(rows.slice(0, 1), {}, LATENESS, NOW).watermarks == {}
    assert arrivals(rows.slice(0, 0), {}, LATENESS, NOW).watermarks == {}
