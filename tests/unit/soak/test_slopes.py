"""What grows during a soak is found, and a peak that ends is not growth."""

import pytest

from tests.soak.bounds import BOUNDS
from tests.soak.slopes import Bound, slope, slopes

HOUR = [(second, 100.0) for second in range(0, 3600, 10)]


def test_a_leak_has_the_slope_of_its_growth() -> None:
    assert slope([(second, 100 + second / 60) for second, _ in HOUR]) == pytest.approx(60)


def test_a_flat_metric_has_no_slope_although_it_has_peaks() -> None:
    assert slope([(second, value + 500 * (second % 600 == 0)) for second, value in HOUR]) == 0


def test_a_slope_leaves_out_the_warm_up() -> None:
    warm = [(float(second), min(second, 600.0)) for second, _ in HOUR]
    bound = Bound("memory/*", 10, "why")
    (found,) = slopes({"memory/sink": warm}, [bound], warm_up=600)
    assert (found.per_hour, found.first, found.holds) == (0, 600, True)
    (found,) = slopes({"memory/sink": warm}, [bound], warm_up=0)
    assert found.first == 0


def test_growth_beyond_its_bound_does_not_hold() -> None:
    grown = [(second, second / 3600 * 11) for second, _ in HOUR]
    (found,) = slopes({"memory/sink": grown}, [Bound("memory/sink", 10, "why"), Bound("*", 99, "other")], warm_up=0)
    assert not found.holds
    (found,) = slopes({"memory/live": grown}, [Bound("memory/sink", 10, "why"), Bound("*", 99, "other")], warm_up=0)
    assert found.holds


def test_every_bound_has_a_reason() -> None:
    assert all(bound.reason for bound in BOUNDS)
