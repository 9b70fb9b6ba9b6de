"""Reports of earthquakes that a learner has not seen: made from those of the sample file, with the mart that they give.

They are in two parts. The first part has what goes wrong from the beginning: magnitudes at the limits of the classes or
unknown, explosions, reports that are sent again or corrected, and invalid ones. The second part is what arrives later:
reports of an old date, corrections, and an earthquake that turns out to have happened on the day before.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any
from zlib import crc32

from exercises.grading.mart_rows import Rows
from exercises.grading.topic import Record
from sluice.settings import ROOT

SAMPLE = ROOT / "docs" / "data" / "earthquakes.json"
KEY = ("event_date", "magnitude_class")
COLUMNS = [*KEY, "quakes", "reviewed", "largest_magnitude", "mean_depth_km"]
EARTHQUAKE = "earthquake"

_DATES = 8
_DAY_MS = 86_400_000
_AT_LIMITS = tuple(map(Decimal, ("3", "5", "2.99", "4.99", "-0.4", "-2", "10")))
"""Magnitudes at the limits of the classes and of what is valid."""
_DEPTHS_AT_LIMITS = tuple(map(Decimal, ("-10", "1000", "999.999", "-9.5")))
_MISSING = object()
_FAULTS: tuple[tuple[str, tuple[str | int, ...], object], ...] = (
    ("a report without an id", ("id",), _MISSING),
    ("a report whose id is null", ("id",), None),
    ("a report without a time", ("properties", "time"), _MISSING),
    ("a report whose time is a text", ("properties", "time"), "yesterday"),
    ("a report with the magnitude 10.01", ("properties", "mag"), 10.01),
    ("a report with the magnitude -2.01", ("properties", "mag"), -2.01),
    ("a report with the magnitude 3.125", ("properties", "mag"), 3.125),
    ("a report whose magnitude is a text", ("properties", "mag"), "large"),
    ("a report from a depth of 1000.5 km", ("geometry", "coordinates", 2), 1000.5),
    ("a report from a depth of -10.5 km", ("geometry", "coordinates", 2), -10.5),
    ("a report from a depth of 7.0625 km", ("geometry", "coordinates", 2), 7.0625),
    ("a report with the status deleted", ("properties", "status"), "deleted"),
    ("a report whose type is null", ("properties", "type"), None),
)
_ODDITIES: tuple[tuple[str, tuple[str | int, ...], object], ...] = (
    ("a report without a place", ("properties", "place"), _MISSING),
    ("a report whose place is null", ("properties", "place"), None),
    ("a report with a field that the sample lacks", ("properties", "swell"), 1),
)

Feature = dict[str, Any]
"""A report as JSON, in the form of the sample file."""


@dataclass(frozen=True)
class Quake:
    """What a report says of an earthquake, or of something that shook the ground like one."""

    id: str
    occurred_ms: int
    """Milliseconds since 1970."""
    magnitude: Decimal | None
    depth_km: Decimal | None
    status: str
    kind: str

    @property
    def date(self) -> date:
        """The UTC date."""
        return datetime.fromtimestamp(self.occurred_ms / 1000, UTC).date()

    @property
    def magnitude_class(self) -> str:
        """The class, as the exercise defines it."""
        if self.magnitude is None:
            return "unknown"
        return "minor" if self.magnitude < 3 else "light" if self.magnitude < 5 else "strong"


@dataclass(frozen=True)
class Report:
    """A report as it is sent."""

    quake: Quake
    """What it says, or would say if it were valid."""
    value: bytes
    description: str = "a report"
    """What is special about it, for messages."""
    valid: bool = True

    def record(self, partitions: int) -> Record:
        """Returns the record of the topic: all reports of one earthquake are in one partition."""
        key = self.quake.id.encode()
        return Record(self.value, crc32(key) % partitions, key, self.quake.occurred_ms)


@dataclass(frozen=True)
class Reports:
    """All reports of a check, each part in the order of sending."""

    first: list[Report]
    later: list[Report]

    @property
    def outdated(self) -> list[date]:
        """The dates whose rows change, after the first part, once only earthquakes count."""
        before, after = mart(self.first, earthquakes_only=False), mart(self.first)
        return sorted({row[0] for row in set(before.rows) ^ set(after.rows)})

    @property
    def changed(self) -> list[date]:
        """The dates to which the second part adds a report, or from which it takes one."""
        before, after = counting(self.first), counting([*self.first, *self.later])
        moved = [quake for key in after for quake in (before.get(key), after[key]) if before.get(key) != after[key]]
        return sorted({quake.date for quake in moved if quake is not None})


def counting(reports: Iterable[Report]) -> dict[str, Quake]:
    """Returns what counts of the valid reports, by id: the last one of each."""
    return {report.quake.id: report.quake for report in reports if report.valid}


def mart(reports: Iterable[Report], *, earthquakes_only: bool = True) -> Rows:
    """Returns the rows of the mart, in the order of their key.

    Args:
        reports: in the order of sending.
        earthquakes_only: whether explosions and the like do not count.
    """
    groups: dict[tuple[date, str], list[Quake]] = defaultdict(list)
    for quake in counting(reports).values():
        if quake.kind == EARTHQUAKE or not earthquakes_only:
            groups[quake.date, quake.magnitude_class].append(quake)
    return Rows(COLUMNS, [(*key, *_figures(quakes)) for key, quakes in sorted(groups.items())])


def _figures(quakes: list[Quake]) -> tuple[int, int, Decimal | None, Decimal | None]:
    magnitudes = [quake.magnitude for quake in quakes if quake.magnitude is not None]
    depths = [quake.depth_km for quake in quakes if quake.depth_km is not None]
    mean = (sum(depths, Decimal(0)) / len(depths)).quantize(Decimal("0.001"), ROUND_HALF_UP) if depths else None
    reviewed = sum(quake.status == "reviewed" for quake in quakes)
    return len(quakes), reviewed, max(magnitudes, default=None), mean


def unseen_reports(random: Random) -> Reports:
    """Returns reports with other ids, dates, magnitudes and mistakes than the sample's."""
    return _Maker(random, json.loads(SAMPLE.read_text())["features"]).reports()


class _Maker:
    """Makes reports out of a sample's."""

    def __init__(self, random: Random, features: list[Feature]) -> None:
        self._random = random
        self._features = features
        self._count = random.randrange(10_000_000, 40_000_000)
        self._templates: dict[str, Feature] = {}
        """What a report has beside the fields of a quake, by its id."""

    def reports(self) -> Reports:
        start = date(2014, 1, 1) + timedelta(days=self._random.randrange(1200))
        days = [start + timedelta(days=number) for number in range(_DATES)]
        corrected, retyped, late, exploded, blasted, only_blasts, *_ = self._random.sample(days, len(days))
        # Beside the others, alone on its date, in its first millisecond.
        alone = self._report(
            replace(self._quake(days[-1] + timedelta(days=4)), occurred_ms=_start_ms(days[-1]) + 4 * _DAY_MS)
        )
        first = [report for day in days if day != only_blasts for report in self._ordinary(day)]
        for day, kinds in (
            (exploded, ("explosion", "explosion")),
            (blasted, ("quarry blast", "ice quake")),
            (only_blasts, ("explosion", "quarry blast", "explosion")),
        ):
            first += [
                self._report(replace(self._quake(day), kind=kind), f"a report of the type {kind}") for kind in kinds
            ]
        first += [alone, *self._invalid(days)]
        self._random.shuffle(first)
        mistaken = self._report(replace(self._quake(retyped), kind="explosion"))
        first += [mistaken, self._corrected(mistaken, kind=EARTHQUAKE)]
        of_day = [report for report in first if report.valid and report.quake.date == corrected]
        first += of_day[:3]  # Sent again as they are.
        automatic = [report for report in of_day if report.quake.status == "automatic"]
        later = [self._report(self._quake(late), "a late report") for _ in range(2)]
        later += [self._corrected(report, status="reviewed", magnitude=Decimal("3.25")) for report in automatic[:3]]
        later += [self._corrected(alone, occurred_ms=alone.quake.occurred_ms - 1)]
        return Reports(first, later)

    def _ordinary(self, day: date) -> Iterator[Report]:
        """Yields earthquakes of a date, some at the limits of the classes, the date and the contract."""
        for number, magnitude in enumerate(_AT_LIMITS):
            quake = replace(self._quake(day), magnitude=magnitude, status=("automatic", "reviewed")[number % 2])
            yield self._report(quake, f"a report with the magnitude {magnitude}")
        for depth in _DEPTHS_AT_LIMITS:
            yield self._report(replace(self._quake(day), depth_km=depth), f"a report from a depth of {depth} km")
        unknown = replace(self._quake(day), magnitude=None, depth_km=None if day.toordinal() % 2 else Decimal("4.5"))
        yield self._report(unknown, "a report without a magnitude", (("properties", "mag"), _MISSING))
        for description, path, value in _ODDITIES:
            yield self._report(self._quake(day), description, (path, value))
        shallow, *_ = quakes = [self._quake(day) for _ in range(self._random.randrange(4, 12))]
        yield self._report(
            replace(shallow, depth_km=None, occurred_ms=_start_ms(day) + _DAY_MS - 1), "a report without a depth"
        )
        yield from map(self._report, quakes[1:])

    def _invalid(self, days: list[date]) -> Iterator[Report]:
        for description, path, value in _FAULTS:
            quake = self._quake(self._random.choice(days))
            yield replace(self._report(quake, description, (path, value)), valid=False)
        cut = self._report(self._quake(days[0]), "a report that is cut off")
        yield replace(cut, value=cut.value[:-40], valid=False)

    def _quake(self, day: date) -> Quake:
        """Returns an earthquake of a date, near one of the sample's in everything else."""
        template = self._random.choice(self._features)
        properties, depth = template["properties"], template["geometry"]["coordinates"][2]
        self._count += self._random.randrange(1, 9)
        report_id = f"{properties['net']}{self._count}"
        self._templates[report_id] = template
        nudge = Decimal(self._random.randrange(-30, 31)) / 100
        return Quake(
            id=report_id,
            occurred_ms=_start_ms(day) + self._random.randrange(_DAY_MS),
            magnitude=Decimal(str(properties["mag"])) + nudge,
            depth_km=Decimal(str(depth)),
            status=properties["status"],
            kind=EARTHQUAKE,
        )

    def _corrected(self, report: Report, **values: Any) -> Report:
        return self._report(replace(report.quake, **values), "a correction")

    def _report(
        self, quake: Quake, description: str = "a report", change: tuple[tuple[str | int, ...], object] | None = None
    ) -> Report:
        """Returns a report of a quake; ``change`` is a path in it and another value."""
        feature = deepcopy(self._templates[quake.id])
        feature["id"] = quake.id
        magnitude, depth = quake.magnitude, quake.depth_km
        feature["properties"] |= {
            "time": quake.occurred_ms,
            "mag": None if magnitude is None else float(magnitude),
            "status": quake.status,
            "type": quake.kind,
            "code": quake.id[2:],
            "ids": f",{quake.id},",
        }
        feature["geometry"]["coordinates"][2] = None if depth is None else float(depth)
        if change:
            (*steps, last), value = change
            place: Any = feature
            for step in steps:
                place = place[step]
            if value is _MISSING:
                del place[last]
            else:
                place[last] = value
        return Report(quake, json.dumps(feature).encode(), description)


def _start_ms(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)
