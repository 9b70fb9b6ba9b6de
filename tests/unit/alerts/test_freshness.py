"""Freshness of a table in the lake: its lag, and when it counts as stale."""

from datetime import UTC, datetime, timedelta

import pytest

from sluice.alerts.freshness import Freshness, check_freshness
from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.settings import ROOT, Settings

CONTRACT = load_contracts(ROOT / "contracts")["flights.departed"]
SETTINGS = Settings(sink_age_seconds=10)


def state(seconds: int, kafka: int, lake: int) -> Freshness:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return Freshness(at, {("a/topic", 0): kafka, ("a/topic", 1): 3}, {("a/topic", 0): lake, ("a/topic", 1): 3})


def test_the_lag_counts_what_the_lake_lacks() -> None:
    assert state(0, kafka=9, lake=4).lag == 5
    # The lake was read later, and may be ahead.
    assert state(0, kafka=9, lake=11).lag == 0
    assert Freshness(datetime.now(UTC), {("t", 0): 7}, {}).lag == 7


def test_a_state_survives_json() -> None:
    before = state(0, kafka=9, lake=4)
    assert Freshness.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    ("before", "now", "stale"),
    [
        (state(0, kafka=9, lake=4), state(120, kafka=9, lake=4), True),
        (state(0, kafka=9, lake=4), state(120, kafka=99, lake=5), False),
        # New records since the last check: the sink has not had the time to commit them.
        (state(0, kafka=4, lake=4), state(120, kafka=99, lake=4), False),
        (state(0, kafka=9, lake=4), state(59, kafka=9, lake=4), False),
        (None, state(0, kafka=9, lake=4), False),
    ],
)
def test_a_table_is_stale_if_it_does_not_advance(before: Freshness | None, now: Freshness, stale: bool) -> None:
    if not stale:
        check_freshness(SETTINGS, CONTRACT, before, now)
        return
    with pytest.raises(TerminalError, match=r"lake\.flights\.departed is stale: 5 records in 1 partitions.*S=sink"):
        check_freshness(SETTINGS, CONTRACT, before, now)


def test_a_topic_that_was_created_again_is_not_stale() -> None:
    now = Freshness(state(120, kafka=0, lake=0).at, {("another/topic", 0): 2}, {})
    check_freshness(SETTINGS, CONTRACT, state(0, kafka=9, lake=4), now)
