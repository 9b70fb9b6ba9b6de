"""What grows during a soak: slopes per hour over samples, and how much each may grow, with the reason."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations

MIN_SECONDS = 15 * 60.0
"""The shortest time over which a slope is judged. Before that, what a process fills once looks like growth."""
_MAX_POINTS = 200
"""Points of a slope: their number of pairs grows with its square."""

Samples = Mapping[str, Sequence[tuple[float, float]]]
"""The values of each metric, each with its second."""


@dataclass(frozen=True)
class Bound:
    """How much the metrics of a pattern may grow per hour.

    Attributes:
        pattern: matches the metrics' names, with ``*``.
        per_hour: the most that they may grow, in their unit.
        reason: why they may.
    """

    pattern: str
    per_hour: float
    reason: str


@dataclass(frozen=True)
class Slope:
    """A metric's growth per hour, and its bound."""

    metric: str
    first: float
    last: float
    per_hour: float
    bound: Bound

    @property
    def holds(self) -> bool:
        """Whether the metric grows by no more than it may."""
        return self.per_hour <= self.bound.per_hour


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Returns the growth per hour: the median of the slopes between all pairs of points (Theil and Sen).

    Peaks that end, as of a process that was stopped for a while, hardly move it.
    """
    step = max(1, len(points) // _MAX_POINTS)
    pairs = combinations(points[::step], 2)
    return statistics.median((value - before) / (second - start) * 3600 for (start, before), (second, value) in pairs)


def slopes(samples: Samples, bounds: Sequence[Bound], warm_up: float) -> list[Slope]:
    """Returns the slope of every metric that a bound names, over the samples after the warm-up.

    Args:
        samples: by metric.
        bounds: the first whose pattern matches a metric is its bound.
        warm_up: seconds at the start whose samples are left out.
    """
    found = []
    for metric in sorted(samples):
        points = [point for point in samples[metric] if point[0] >= warm_up]
        bound = next((bound for bound in bounds if fnmatchcase(metric, bound.pattern)), None)
        if bound is not None and len(points) > 1:
            found.append(Slope(metric, points[0][1], points[-1][1], slope(points), bound))
    return found


def unbounded(metrics: Iterable[str], bounds: Sequence[Bound]) -> list[str]:
    """Returns the metrics that no bound names."""
    return [metric for metric in metrics if not any(fnmatchcase(metric, bound.pattern) for bound in bounds)]
