"""A reconciliation's text: a line per remarkable date, and one line for consecutive unremarkable ones."""

from dataclasses import replace
from datetime import UTC, date, datetime

from sluice.reconcile.report import DateRow, Reconciliation, Totals
from sluice.warehouse.dates import DateStatus

NOW = datetime(2013, 2, 1, tzinfo=UTC)


def row(day: int, agrees: bool = True, quarantined: int = 0, **known: object) -> DateRow:
    status = DateStatus(date(2013, 1, day), 1000, quarantined, 0, 0, 0, 1, NOW, NOW, False, True)
    return DateRow("a.b", status.event_date, 1000, 1000, quarantined, agrees, replace(status, **known))


def lines(*rows: DateRow) -> list[str]:
    return Reconciliation(list(rows), {"a.b": Totals(1, 1, 1)}).text().splitlines()[: len(rows) + 1]


def test_consecutive_unremarkable_dates_share_a_line() -> None:
    shown = lines(row(1), row(2), row(3), row(5), row(6, late=2), row(7, closed=False, pending=True))
    assert shown == [
        "stream  date                       lake    raw  quarantine  duplicates  late  after close  status",
        "a.b     2013-01-01 to 2013-01-03  3,000  3,000           0           0     0            0  agrees",
        "a.b     2013-01-05                1,000  1,000           0           0     0            0  agrees",
        "a.b     2013-01-06                1,000  1,000           0           0     2            0  agrees",
        "a.b     2013-01-07                1,000  1,000           0           0     0            0  "
        "agrees, open, pending",
        "",
        "stream  kafka  lake  warehouse  in flight",
    ]


def test_each_remarkable_date_has_its_own_line() -> None:
    remarkable = [
        row(1, agrees=False),
        row(2, quarantined=1),
        row(3, late=1),
        row(4, after_close=1),
        row(5, duplicates=1),
        row(6, pending=True),
        row(7, closed=False),
    ]
    shown = lines(*remarkable)
    assert [line.split()[1] for line in shown[1:]] == [f"2013-01-0{day}" for day in range(1, 8)]
    assert shown[1].endswith("DISAGREES")


def test_a_date_without_a_status_has_no_statistics() -> None:
    assert lines(replace(row(1), status=None))[1].split() == ["a.b", "2013-01-01", "1,000", "1,000", "0", "agrees"]


def test_what_is_in_flight_is_a_column_of_the_totals() -> None:
    text = Reconciliation([], {"a.b": Totals(1234, 1230, 1225)}).text().splitlines()
    assert text[-4:] == [
        "stream  kafka   lake  warehouse  in flight",
        "a.b     1,234  1,230      1,225          9",
        "",
        "everything agrees",
    ]
