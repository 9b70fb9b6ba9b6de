"""The proof of a backfill: what it changed on each date, and why, from the snapshots before and after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sluice.backfill.snapshot import MARTS_AFTER, MARTS_BEFORE, Snapshot
from sluice.warehouse.checksum import Checksum

MAX_LISTED_DATES = 14
"""If more dates than this are requested, only the first ones that changed are listed, up to this many."""


@dataclass(frozen=True)
class Table:
    """One table's rows of one date, before and after the backfill."""

    name: str
    before: Checksum
    after: Checksum

    @property
    def changed(self) -> bool:
        """Whether any row differs."""
        return self.before != self.after

    def text(self) -> str:
        """Returns the change in words."""
        added = self.after.rows - self.before.rows
        return f"{self.name} {added:+,} rows" if added else f"{self.name} values changed"


@dataclass(frozen=True)
class Day:
    """One date before and after: requested streams and marts, or only marts for a date outside the request."""

    day: date
    raw: tuple[Table, ...]
    marts: tuple[Table, ...]
    quarantined: tuple[int, int]
    arrived: int = 0
    """Records that loads added in the meantime."""
    outside_request: bool = False
    """Whether the date was not requested, but marts rows of the requested events can have it."""

    @property
    def changed(self) -> bool:
        """Whether anything of the date differs."""
        return self.quarantined[0] != self.quarantined[1] or any(table.changed for table in (*self.raw, *self.marts))

    def reasons(self) -> list[str]:
        """Returns the reasons for the changes, in words."""
        released = self.quarantined[0] - self.quarantined[1]
        # New arrivals may be in raw or in quarantine; what remains was missing from raw or is not in the lake.
        repaired = sum(table.after.rows - table.before.rows for table in self.raw) - released - self.arrived
        reasons = [f"{self.arrived:,} arrived in the meantime"] if self.arrived else []
        if released > 0:
            reasons.append(f"{released:,} left quarantine: they are valid now")
        if released < 0:
            reasons.append(f"{-released:,} moved to quarantine")
        if repaired > 0:
            reasons.append(f"{repaired:,} were missing from raw")
        if repaired < 0:
            reasons.append(f"{-repaired:,} in raw were not in the lake")
        if any(table.changed and table.before.rows == table.after.rows for table in self.raw):
            reasons.append("the same events parse differently: a contract or the parser changed")
        if any(table.changed for table in self.marts) and not any(table.changed for table in self.raw):
            reasons.append("raw is unchanged: a model changed, or another date of the same keys")
        return reasons

    def lines(self) -> list[str]:
        """Returns the date as one or two lines of text."""
        verdict = f"{self.day}  {'changed' if self.changed else 'unchanged'}"
        raw = "" if self.outside_request else f"{_figures('raw', self.raw)}; "
        suffix = ", outside the request" if self.outside_request else ""
        lines = [f"{verdict:<23}{raw}{_figures('marts', self.marts)}{suffix}"]
        if self.changed:
            changes = [table.text() for table in (*self.raw, *self.marts) if table.changed]
            lines.append(f"{'':<23}{', '.join(changes)}{': ' if changes else ''}{'; '.join(self.reasons())}")
        return lines


@dataclass
class Proof:
    """All dates, the undated tables, and what contradicts the backfill."""

    days: list[Day]
    dimensions: list[Table] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything requested was reprocessed, and lake and warehouse agree."""
        return not self.faults

    def text(self) -> str:
        """Returns the proof as text: dates, undated tables, totals and faults."""
        requested = [day for day in self.days if not day.outside_request]
        changed = [day for day in self.days if day.changed]
        relevant = [day for day in self.days if day.changed or not day.outside_request]
        shown = relevant if len(requested) <= MAX_LISTED_DATES else changed[:MAX_LISTED_DATES]
        lines = [line for day in shown for line in day.lines()]
        if len(changed) > len(shown):
            lines.append(f"and {len(changed) - len(shown)} more changed dates")
        tables = [table for table in self.dimensions if table.changed]
        if tables:
            lines.append(f"{'undated tables':<23}{', '.join(table.text() for table in tables)}")
        if changed:
            outside = sum(day.outside_request for day in changed)
            count = f"{len(changed) - outside} of {len(requested)} dates changed"
            lines.append(f"{count}{f', and {outside} outside the request' if outside else ''}: {self._sums(changed)}")
        else:
            raw = sum(table.after.rows for day in requested for table in day.raw)
            marts = sum(table.after.rows for day in requested for table in day.marts)
            lines.append(
                f"nothing changed on these dates: the checksums of {raw:,} raw rows and {marts:,} marts rows of"
                f" {len(requested)} dates agree before and after"
            )
        return "\n".join([*lines, *self.faults])

    def _sums(self, changed: list[Day]) -> str:
        raw = sum(table.after.rows - table.before.rows for day in changed for table in day.raw)
        marts = sum(table.after.rows - table.before.rows for day in changed for table in day.marts)
        quarantined = sum(day.quarantined[1] - day.quarantined[0] for day in changed)
        return f"raw {raw:+,} rows, quarantine {quarantined:+,}, marts {marts:+,} rows"


def prove(
    before: Snapshot,
    after: Snapshot,
    arrived: Mapping[str, Mapping[date, int]],
    days: Iterable[date],
    faults: Iterable[str] = (),
) -> Proof:
    """Compares two snapshots of the same streams.

    Args:
        before, after: snapshots that cover at least the days, and the marts dates around them.
        arrived: records per stream and date that loads have added in between.
        days: the requested event dates, ascending.
        faults: descriptions of what contradicts the backfill, such as disagreements found by a reconciliation.
    """
    requested = list(days)
    compared = [
        Day(
            day,
            _tables(before.raw, after.raw, day),
            _tables(before.marts, after.marts, day),
            (_sum(before.quarantined, day), _sum(after.quarantined, day)),
            _sum(arrived, day),
        )
        for day in requested
    ]
    outside_request = [requested[0] - timedelta(days=step) for step in range(MARTS_BEFORE.days, 0, -1)]
    outside_request += [requested[-1] + timedelta(days=step) for step in range(1, MARTS_AFTER.days + 1)]
    for day in outside_request:
        if marts := _tables(before.marts, after.marts, day):
            compared.append(Day(day, (), marts, (0, 0), outside_request=True))
    undated = list(_tables(before.marts, after.marts, None))
    return Proof(sorted(compared, key=lambda entry: entry.day), undated, list(faults))


def _tables(
    before: Mapping[str, Mapping[Any, Checksum]], after: Mapping[str, Mapping[Any, Checksum]], day: date | None
) -> tuple[Table, ...]:
    """Returns each table's rows of a date; tables without rows of it are left out."""
    none = Checksum(0, "0")
    return tuple(
        Table(name, before.get(name, {}).get(day, none), after.get(name, {}).get(day, none))
        for name in sorted({*before, *after})
        if any(day in tables.get(name, {}) for tables in (before, after))
    )


def _figures(name: str, tables: Sequence[Table]) -> str:
    """Returns rows and checksum of some tables together, before and after, or only once if they are equal."""
    before, after = (
        f"{sum(checksum.rows for checksum in checksums):,} rows"
        f" {sum(int(checksum.hash) for checksum in checksums) % (1 << 64):016x}"
        for checksums in ([table.before for table in tables], [table.after for table in tables])
    )
    return f"{name} {before}" if before == after else f"{name} {before} -> {after}"


def _sum(counts: Mapping[str, Mapping[date, int]], day: date) -> int:
    return sum(days.get(day, 0) for days in counts.values())
