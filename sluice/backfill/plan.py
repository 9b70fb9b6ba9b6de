"""What a backfill is about to do, in words."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from sluice.backfill.proof import SHORT
from sluice.backfill.request import Request
from sluice.backfill.snapshot import Snapshot

_DOES = {
    "raw": "raw rows from the lake, and the marts of dates where that changes any",
    "marts": "the marts from the raw rows as they are",
    "all": "raw rows from the lake, and the marts from them",
}


def plan(request: Request, now: Snapshot, at_once: int) -> str:
    """Dates, streams, rows as they are now and runs; of more than ``SHORT`` dates, rows per month."""
    days = request.days
    lines = [
        f"backfill of {len(days)} dates, {request.first} to {request.last}: {_DOES[request.what]}",
        f"streams: {', '.join(request.streams)}",
        f"{'now':<10} {'raw rows':>12} {'quarantine':>12}",
    ]
    raw: Mapping[date, int] = _summed({s: {d: c.rows for d, c in days.items()} for s, days in now.raw.items()})
    quarantined = _summed(now.quarantined)
    length = len("2013-01-01") if len(days) <= SHORT else len("2013-01")
    for part in sorted({str(day)[:length] for day in days}):
        counts = (sum(rows for day, rows in side.items() if str(day)[:length] == part) for side in (raw, quarantined))
        lines.append(f"{part:<10} " + " ".join(f"{count:>12,}" for count in counts))
    lines.append(f"{len(days)} runs of one date, {at_once} at once, then one transform; loads go on meanwhile")
    return "\n".join(lines)


def _summed(counts: Mapping[str, Mapping[date, int]]) -> dict[date, int]:
    total: defaultdict[date, int] = defaultdict(int)
    for days in counts.values():
        for day, count in days.items():
            total[day] += count
    return total
