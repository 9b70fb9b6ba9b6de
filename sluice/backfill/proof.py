"""What a backfill has changed, date by date, with the reason, from the figures before and after it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sluice.backfill.snapshot import AFTER, BEFORE, Snapshot
from sluice.warehouse.checksum import Checksum

SHORT = 14
"""Dates asked for that are listed one by one; of more, only those that changed are, and no more than these."""


@dataclass(frozen=True)
class Table:
    """One table's rows of one date, before and after."""

    name: str
    before: Checksum
    after: Checksum

    @property
    def changed(self) -> bool:
        """Whether any row differs."""
        return self.before != self.after

    def text(self) -> str:
        """What changed, in words."""
        more = self.after.rows - self.before.rows
        return f"{self.name} {more:+,} rows" if more else f"{self.name} other values"


@dataclass(frozen=True)
class Day:
    """One date before and after: of all requested streams, or of the marts alone where it lies outside the request."""

    day: date
    raw: tuple[Table, ...]
    marts: tuple[Table, ...]
    quarantined: tuple[int, int]
    arrived: int = 0
    """Records that loads have brought meanwhile."""
    outside_request: bool = False
    """Whether it was not asked for, but the marts' rows of the same events can be of it."""

    @property
    def changed(self) -> bool:
        """Whether anything of it differs."""
        return self.quarantined[0] != self.quarantined[1] or any(table.changed for table in (*self.raw, *self.marts))

    def reasons(self) -> list[str]:
        """Why its raw rows and its quarantine differ, in words."""
        released = self.quarantined[0] - self.quarantined[1]
        # What loads brought may be in either; whatever is left over, raw lacked or the lake does not hold.
        mended = sum(table.after.rows - table.before.rows for table in self.raw) - released - self.arrived
        reasons = [f"{self.arrived:,} came meanwhile"] if self.arrived else []
        if released > 0:
            reasons.append(f"{released:,} left the quarantine: they fit their contract now")
        if released < 0:
            reasons.append(f"{-released:,} went to quarantine")
        if mended > 0:
            reasons.append(f"{mended:,} were missing in raw")
        if mended < 0:
            reasons.append(f"{-mended:,} in raw were not in the lake")
        if any(table.changed and table.before.rows == table.after.rows for table in self.raw):
            reasons.append("the same events are read otherwise: a contract or the reading changed")
        if any(table.changed for table in self.marts) and not any(table.changed for table in self.raw):
            reasons.append("raw is as before: a model changed, or another date of the same flights")
        return reasons

    def lines(self) -> list[str]:
        """The date for a person, in a line or two."""
        what = f"{self.day}  {'changed' if self.changed else 'as before'}"
        raw = "" if self.outside_request else f"{_figures('raw', self.raw)}; "
        lines = [
            f"{what:<23}{raw}{_figures('marts', self.marts)}{', outside the request' if self.outside_request else ''}"
        ]
        if self.changed:
            words = [table.text() for table in (*self.raw, *self.marts) if table.changed]
            lines.append(f"{'':<23}{', '.join(words)}{': ' if words else ''}{'; '.join(self.reasons())}")
        return lines


@dataclass
class Proof:
    """All dates, the tables without a date, and what does not hold."""

    days: list[Day]
    dimensions: list[Table] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything asked for was made again, and lake and warehouse agree."""
        return not self.faults

    def text(self) -> str:
        """For a person: dates, tables without a date, faults, and the sum of it."""
        asked = [day for day in self.days if not day.outside_request]
        changed = [day for day in self.days if day.changed]
        told = [day for day in self.days if day.changed or not day.outside_request]
        shown = told if len(asked) <= SHORT else changed[:SHORT]
        lines = [line for day in shown for line in day.lines()]
        if len(changed) > len(shown):
            lines.append(f"and {len(changed) - len(shown)} more dates that changed")
        tables = [table for table in self.dimensions if table.changed]
        if tables:
            lines.append(f"{'without a date':<23}{', '.join(table.text() for table in tables)}")
        if changed:
            outside = sum(day.outside_request for day in changed)
            count = f"{len(changed) - outside} of {len(asked)} dates changed"
            lines.append(f"{count}{f', and {outside} outside the request' if outside else ''}: {self._sums(changed)}")
        else:
            raw = sum(table.after.rows for day in asked for table in day.raw)
            marts = sum(table.after.rows for day in asked for table in day.marts)
            lines.append(
                f"nothing changed on these dates: the checksums of {raw:,} raw rows and {marts:,} marts rows of"
                f" {len(asked)} dates agree before and after"
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
        before, after: of at least the days, with the marts' dates around them.
        arrived: records per stream and date that loads have brought in between.
        days: the event dates asked for, ascending.
        faults: what speaks against the backfill, in words, such as what reconciling found.
    """
    asked = list(days)
    found = [
        Day(
            day,
            _tables(before.raw, after.raw, day),
            _tables(before.marts, after.marts, day),
            (_sum(before.quarantined, day), _sum(after.quarantined, day)),
            _sum(arrived, day),
        )
        for day in asked
    ]
    outside_request = [asked[0] - timedelta(days=step) for step in range(BEFORE.days, 0, -1)]
    outside_request += [asked[-1] + timedelta(days=step) for step in range(1, AFTER.days + 1)]
    for day in outside_request:
        if marts := _tables(before.marts, after.marts, day):
            found.append(Day(day, (), marts, (0, 0), outside_request=True))
    return Proof(sorted(found, key=lambda each: each.day), list(_tables(before.marts, after.marts, None)), list(faults))


def _tables(
    before: Mapping[str, Mapping[Any, Checksum]], after: Mapping[str, Mapping[Any, Checksum]], day: date | None
) -> tuple[Table, ...]:
    """Each table's rows of a date; tables that have none of it are left out."""
    none = Checksum(0, "0")
    return tuple(
        Table(name, before.get(name, {}).get(day, none), after.get(name, {}).get(day, none))
        for name in sorted({*before, *after})
        if any(day in side.get(name, {}) for side in (before, after))
    )


def _figures(name: str, tables: Sequence[Table]) -> str:
    """Rows and checksum of some tables together, before and after, or once where they are the same."""
    before, after = (
        f"{sum(each.rows for each in side):,} rows {sum(int(each.hash) for each in side) % (1 << 64):016x}"
        for side in ([table.before for table in tables], [table.after for table in tables])
    )
    return f"{name} {before}" if before == after else f"{name} {before} -> {after}"


def _sum(counts: Mapping[str, Mapping[date, int]], day: date) -> int:
    return sum(days.get(day, 0) for days in counts.values())
