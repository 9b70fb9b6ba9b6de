"""Charts as data: ``static/charts.js`` draws them with uPlot. Absent values are never drawn as zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

HOUR, DAY = 3_600, 86_400

Style = Literal["bars", "steps", "line", "points"]


@dataclass(frozen=True)
class Series:
    """The values of one series, one per time of its chart; None where there is none."""

    label: str
    style: Style
    color: str
    """A colour of the style sheet, without its dashes."""
    values: Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """One chart with a time axis."""

    title: str
    """What the chart shows, for screen readers too."""
    times: Sequence[int]
    """Seconds since 1970 in UTC, ascending."""
    series: Sequence[Series]
    step: int = DAY
    """The seconds that one time stands for; 0 for moments."""
    shaded: Sequence[tuple[int, int]] = ()
    """Ranges of time that are shaded: from, and up to but without."""
    shade: str = ""
    """What the shading means."""
    lanes: Sequence[str] = ()
    """Names for the values 0, 1, … of the vertical axis, instead of numbers."""
    notes: Sequence[str] = ()
    """What is shown of each time instead of the series' values."""

    def data(self) -> dict[str, Any]:
        """Returns the chart as JSON for the script."""
        return {
            "title": self.title,
            "times": list(self.times),
            "series": [vars(series) | {"values": list(series.values)} for series in self.series],
            "step": self.step,
            "shaded": [list(span) for span in self.shaded],
            "shade": self.shade,
            "lanes": list(self.lanes),
            "notes": list(self.notes),
        }


def sparkline(title: str, values: Sequence[float], color: str) -> Chart:
    """Returns a chart without axes, for a table's cell; its values have equal distances."""
    return Chart(title, range(len(values)), [Series(title, "line", color, values)], step=1)


def spans(times: Sequence[int], marked: Sequence[bool], step: int) -> list[tuple[int, int]]:
    """Returns the ranges that adjacent marked times cover."""
    ranges: list[tuple[int, int]] = []
    for time, is_marked in zip(times, marked, strict=True):
        if not is_marked:
            continue
        if ranges and ranges[-1][1] == time:
            ranges[-1] = (ranges[-1][0], time + step)
        else:
            ranges.append((time, time + step))
    return ranges
