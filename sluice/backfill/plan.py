"""The plan of a backfill, as text."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from sluice.backfill.proof import MAX_LISTED_DATES
from sluice.backfill.request import Request
from sluice.backfill.snapshot import Snapshot

_DOES = {
    "raw": "raw rows from the lake, and the marts of dates whose raw rows change",
    "marts": "the marts from the raw rows as they are",
    "all": "raw rows from the lake, and the marts from them",
}


def plan(request: Request, now: Snapshot, at_once: int) -> str:
    """Returns dates, streams, current rows and runs; for more than ``MAX_LISTED_DATES`` dates, rows per month."""
    days = request.days
    lines = [
        f"backfill of {len(days)} dates, {request.first} to {request.last}: {_DOES[request.what]}",
        f"streams: {', '.join(request.streams)}",
        f"{'now':<10} {'raw rows':>12} {'quarantine':>12}",
    ]
    raw = _summed({stream: {day: checksum.rows for day, checksum in days.items()} for stream, days in now.raw.items()})
    quarantined = _summed(now.quarantined)
    length = len("2013-01-01") if len(days) <= MAX_LISTED_DATES else len("2013-01")
    for period in sorted({str(day)[:length] for day in days}):
        counts = (
            sum(rows for day, rows in column.items() if str(day)[:length] == period) for column in (raw, quarantined)
        )
        lines.append(f"{period:<10} " + " ".join(f"{count:>12,}" for count in counts))
    lines.append(f"{len(days)} runs, one per date, {at_once} at a time, then one transform; loads continue meanwhile")
    return "\n".join(lines)


def _summed(counts: Mapping[str, Mapping[date, int]]) -> dict[date, int]:
    total: defaultdict[date, int] = defaultdict(int)
    for days in counts.values():
        for day, count in days.items():
            total[day] += count
    return total
