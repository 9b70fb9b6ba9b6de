"""The result of a reconciliation, and its text form."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sluice.warehouse.dates import DateStatus

_HEADER = ("stream", "date", "lake", "raw", "quarantine", "duplicates", "late", "after close", "status")
_TEXT_COLUMNS = {0, 1, 8}
"""Columns that are aligned to the left."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DateRow:
    """One date of a stream: its rows up to the end of the ledger, and its status in the warehouse."""

    stream: str
    event_date: date
    lake: int
    raw: int
    quarantined: int
    agrees: bool
    status: DateStatus | None = None

    @property
    def unremarkable(self) -> bool:
        """Whether the date is complete, valid, on time, closed and in the marts."""
        status = self.status
        if not self.agrees or self.quarantined:
            return False
        return status is None or (
            status.closed and not (status.pending or status.late or status.after_close or status.duplicates)
        )

    @property
    def status_text(self) -> str:
        """The date's status in words."""
        words = ["agrees" if self.agrees else "DISAGREES"]
        if self.status is not None:
            words += ["open"] * (not self.status.closed) + ["pending"] * self.status.pending
        return ", ".join(words)


@dataclass(frozen=True)
class Totals:
    """How far a stream is in each place: the sums of its partitions' next offsets."""

    kafka: int
    lake: int
    warehouse: int

    @property
    def in_flight(self) -> int:
        """Offsets that Kafka has and the warehouse does not have yet."""
        return self.kafka - self.warehouse


@dataclass
class Reconciliation:
    """The result of a reconciliation."""

    rows: list[DateRow] = field(default_factory=list)
    totals: dict[str, Totals] = field(default_factory=dict)
    """Per stream."""
    faults: list[str] = field(default_factory=list)
    """Descriptions of the disagreements."""
    notes: list[str] = field(default_factory=list)
    """Remarks that are not disagreements, such as explanations of differing figures."""
    pending_dates: int = 0
    """Stale dates that the next transform will rebuild; not a disagreement."""

    @property
    def agrees(self) -> bool:
        """Whether everything below the ledger's end is everywhere, exactly once; what is in flight does not matter."""
        return not self.faults

    @property
    def in_flight(self) -> int:
        """Offsets of all streams that Kafka has and the warehouse does not have yet."""
        return sum(totals.in_flight for totals in self.totals.values())

    def text(self) -> str:
        """Returns a table per stream and date, the totals per stream, notes and disagreements.

        Consecutive unremarkable dates share a line.
        """
        lines = aligned([_HEADER, *(_line(group) for group in _folded(self.rows))], _TEXT_COLUMNS)
        lines.append("")
        totals = [
            (stream, *(f"{count:,}" for count in (of.kafka, of.lake, of.warehouse, of.in_flight)))
            for stream, of in self.totals.items()
        ]
        lines += aligned([("stream", "kafka", "lake", "warehouse", "in flight"), *totals], {0})
        lines.append("")
        lines += self.notes
        lines += self.faults
        if self.pending_dates:
            lines.append(f"{self.pending_dates} dates pending: the next transform rebuilds them")
        lines.append("everything agrees" if self.agrees else f"{len(self.faults)} disagreements")
        return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]], text_columns: Container[int]) -> list[str]:
    """Returns rows as lines with aligned columns: text to the left, numbers to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if index in text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _folded(rows: Iterable[DateRow]) -> list[list[DateRow]]:
    """Returns the rows in groups: consecutive unremarkable dates together, all others alone."""
    groups: list[list[DateRow]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        follows = last is not None and (last.stream, last.event_date + _DAY) == (row.stream, row.event_date)
        if last is not None and follows and row.unremarkable and last.unremarkable:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _line(group: Sequence[DateRow]) -> tuple[str, ...]:
    first, last = group[0], group[-1]
    days = str(first.event_date) if first is last else f"{first.event_date} to {last.event_date}"
    status = first.status
    return (
        first.stream,
        days,
        *(f"{sum(counts):,}" for counts in zip(*((row.lake, row.raw, row.quarantined) for row in group), strict=True)),
        *((_count(status.duplicates), _count(status.late), _count(status.after_close)) if status else ("", "", "")),
        first.status_text,
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
