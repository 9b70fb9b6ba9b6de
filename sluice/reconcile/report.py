"""What a reconciliation found, and how a person reads it."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sluice.warehouse.dates import DateStatus

_HEADER = ("stream", "date", "lake", "raw", "quarantine", "duplicates", "late", "after close", "")
_WORDS = {0, 1, 8}
"""The columns that hold no numbers."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DateRow:
    """One stream's date: rows below the cut, and what the warehouse says of the date."""

    stream: str
    event_date: date
    lake: int
    raw: int
    quarantined: int
    agrees: bool
    status: DateStatus | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing to say of it: all there, good, in time, closed and in the marts."""
        status = self.status
        if not self.agrees or self.quarantined:
            return False
        return status is None or (
            status.closed and not (status.pending or status.late or status.after_close or status.duplicates)
        )

    @property
    def state(self) -> str:
        """In words."""
        words = ["agrees" if self.agrees else "DISAGREES"]
        if self.status is not None:
            words += ["open"] * (not self.status.closed) + ["not in the marts yet"] * self.status.pending
        return ", ".join(words)


@dataclass
class Reconciliation:
    """What the comparison found."""

    rows: list[DateRow] = field(default_factory=list)
    offsets: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Per stream: Kafka's offsets below the cut, how many of them the lake has, and how many the ledger has."""
    faults: list[str] = field(default_factory=list)
    """What disagrees, in words."""
    notes: list[str] = field(default_factory=list)
    """What explains a difference between the figures, or is good to know, and is no fault."""
    unbuilt: int = 0
    """Touched dates that the marts do not show yet; no fault."""

    @property
    def agrees(self) -> bool:
        """Whether everything below the cut is everywhere, once."""
        return not self.faults

    def text(self) -> str:
        """The comparison as a table per stream and date, and what disagrees in words.

        Dates in a row that there is nothing to say of share a line.
        """
        lines = _aligned([_HEADER, *(_line(group) for group in _folded(self.rows))], _WORDS)
        lines.append("")
        totals = [(stream, *(f"{count:,}" for count in counts)) for stream, counts in self.offsets.items()]
        lines += _aligned([("stream", "kafka", "lake", "warehouse"), *totals], {0})
        lines.append("")
        lines += self.notes
        lines += self.faults
        if self.unbuilt:
            lines.append(f"{self.unbuilt} touched dates wait for the next transform")
        lines.append("everything agrees" if self.agrees else f"{len(self.faults)} disagreements")
        return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]], words: Container[int]) -> list[str]:
    """Rows as lines whose columns stand below each other: words to the left, numbers to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if index in words else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _folded(rows: Iterable[DateRow]) -> list[list[DateRow]]:
    """The rows in groups: one each, and plain dates that follow each other together."""
    groups: list[list[DateRow]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        follows = last is not None and (last.stream, last.event_date + _DAY) == (row.stream, row.event_date)
        if last is not None and follows and row.plain and last.plain:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _line(group: Sequence[DateRow]) -> tuple[str, ...]:
    first, last = group[0], group[-1]
    days = str(first.event_date) if first is last else f"{first.event_date} to {last.event_date}"
    known = first.status
    return (
        first.stream,
        days,
        *(f"{sum(counts):,}" for counts in zip(*((row.lake, row.raw, row.quarantined) for row in group), strict=True)),
        *((_count(known.duplicates), _count(known.late), _count(known.after_close)) if known else ("", "", "")),
        first.state,
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
