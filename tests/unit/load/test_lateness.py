"""An event is late if its partition has already passed the end of its date."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from sluice.load.lateness import track_lateness

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


def test_an_event_is_late_after_the_end_of_its_date_and_after_close_once_the_lateness_has_passed() -> None:
    rows = _rows(
        (0, 0, "2013-01-01T23:59"),
        (0, 1, "2013-01-01T10:00"),
        (0, 2, "2013-01-02T00:00"),
        (0, 3, "2013-01-01T23:00"),
        (0, 4, "2013-01-02T02:00"),
        (0, 5, "2013-01-01T23:00"),
        (0, 6, "2013-01-02T01:00"),
    )
    lateness = track_lateness(rows, {}, LATENESS, NOW)
    assert lateness.late.tolist() == [False, False, False, True, False, True, False]
    assert lateness.after_close.tolist() == [False, False, False, False, False, True, False]
    assert lateness.watermarks == {("t", 0): datetime(2013, 1, 2, 2, tzinfo=UTC)}


def test_each_partition_has_its_own_watermark_in_the_order_of_offsets() -> None:
    rows = _rows((1, 8, "2013-01-01T10:00"), (0, 1, "2013-01-01T10:00"), (1, 7, "2013-01-03T00:00"))
    lateness = track_lateness(rows, {}, LATENESS, NOW)
    assert lateness.late.tolist() == [True, False, False]
    assert lateness.watermarks[("t", 0)].date() == date(2013, 1, 1)


def test_the_watermark_continues_from_that_of_the_ledger() -> None:
    before = {("t", 0): datetime(2013, 1, 2, tzinfo=UTC), ("u", 0): datetime(2013, 1, 9, tzinfo=UTC)}
    lateness = track_lateness(_rows((0, 5, "2013-01-01T10:00")), before, LATENESS, NOW)
    assert lateness.late.tolist() == [True]
    assert lateness.after_close.tolist() == [False]
    assert lateness.watermarks == before


def test_a_time_in_the_future_makes_no_event_late() -> None:
    rows = _rows((0, 0, "2099-01-01T00:00"), (0, 1, "2013-01-01T10:00"))
    lateness = track_lateness(rows, {}, LATENESS, NOW)
    assert lateness.late.tolist() == [False, False]
    assert lateness.watermarks == {("t", 0): datetime(2013, 1, 1, 10, tzinfo=UTC)}
    assert track_lateness(rows.slice(0, 1), {}, LATENESS, NOW).watermarks == {}
    assert track_lateness(rows.slice(0, 0), {}, LATENESS, NOW).watermarks == {}


@pytest.mark.parametrize("slow", [timedelta(minutes=5), timedelta(days=400)])
def test_dates_close_by_the_records_own_clocks_although_the_hosts_is_slow(slow: timedelta) -> None:
    rows = _rows(
        (0, 0, "2026-01-01T23:58"), (0, 1, "2026-01-02T00:01"), (0, 2, "2026-01-02T02:03"), (0, 3, "2026-01-01T23:59")
    )
    newest = datetime(2026, 1, 2, 2, 3, tzinfo=UTC)
    lateness = track_lateness(rows, {}, LATENESS, newest - slow)
    assert lateness.late.tolist() == [False, False, False, True]
    assert lateness.watermarks[("t", 0)] >= datetime(2026, 1, 2, 0, 1, tzinfo=UTC)
    # Later batches advance from there, even record by record.
    watermarks = lateness.watermarks
    for offset, time in enumerate(["2026-01-02T00:50", "2026-01-02T01:40", "2026-01-02T02:30"], 4):
        watermarks = track_lateness(_rows((0, offset, time)), watermarks, LATENESS, newest - slow).watermarks
    assert watermarks == {("t", 0): datetime(2026, 1, 2, 2, 30, tzinfo=UTC)}


@pytest.mark.parametrize("slow", [timedelta(0), timedelta(days=400)])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_one_record_from_2031_makes_nothing_late(slow: timedelta, position: int) -> None:
    times = [f"2026-01-01T10:0{minute}" for minute in range(4)]
    times.insert(position, "2031-01-01T00:00")
    rows = _rows(*((0, offset, time) for offset, time in enumerate(times)))
    lateness = track_lateness(rows, {}, LATENESS, datetime(2026, 1, 1, 10, 4, tzinfo=UTC) - slow)
    assert not lateness.late.any()
    assert lateness.watermarks == {("t", 0): datetime(2026, 1, 1, 10, 3, tzinfo=UTC)}
