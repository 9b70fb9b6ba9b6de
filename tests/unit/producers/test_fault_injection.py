import json
from collections import Counter
from datetime import date

import pytest

from producers.events import Event
from producers.fault_injection import CORRUPT, DUPLICATE, INVALID, LATE, Faults, inject_faults
from producers.flights.timeline import Timeline
from sluice.contracts import Contract
from sluice.errors import TerminalError

HOUR = 3_600_000
ALL = Faults(late=0.05, late_hours=6, duplicates=0.04, corrupt=0.03, invalid=0.02, seed=3)


@pytest.fixture(scope="module")
def batches(contracts: dict[str, Contract]) -> list[list[Event]]:
    return list(Timeline(contracts, date(2013, 1, 1), date(2013, 1, 14)).batches())


@pytest.fixture(scope="module")
def good(batches: list[list[Event]]) -> list[Event]:
    return [event for batch in batches for event in batch]


def disturbed(batches: list[list[Event]], wanted: Faults, contracts: dict[str, Contract]) -> list[Event]:
    return [event for batch in inject_faults(batches, wanted, contracts) for event in batch]


@pytest.fixture(scope="module")
def bad(batches: list[list[Event]], contracts: dict[str, Contract]) -> list[Event]:
    return disturbed(batches, ALL, contracts)


def record(event: Event) -> tuple[str, bytes, bytes, int]:
    return event[:4]


def test_they_add_and_never_replace(good: list[Event], bad: list[Event]) -> None:
    kept = Counter(record(event) for event in bad if event.disturbance in ("", LATE))
    assert kept == Counter(record(event) for event in good)


def test_they_obey_their_shares(good: list[Event], bad: list[Event]) -> None:
    kinds = Counter(event.disturbance for event in bad)
    for kind, share in ALL.shares.items():
        assert kinds[kind] == pytest.approx(share * len(good), rel=0.15)


def test_everything_is_sent_when_it_is_due(bad: list[Event]) -> None:
    times = [event.due for event in bad]
    assert times == sorted(times)


def test_a_late_event_keeps_its_timestamp_and_comes_later_within_the_limit(bad: list[Event]) -> None:
    delays = [event.due - event.timestamp for event in bad if event.disturbance == LATE]
    assert min(delays) > 0
    assert 5 * HOUR < max(delays) <= 6 * HOUR
    assert all(event.due == event.timestamp for event in bad if not event.disturbance)


def test_a_duplicate_is_the_same_record_again_some_at_once_some_later(good: list[Event], bad: list[Event]) -> None:
    twice = [event for event in bad if event.disturbance == DUPLICATE]
    assert {record(event) for event in twice} <= {record(event) for event in good}
    later = sum(event.due > event.timestamp for event in twice)
    assert 0.3 < later / len(twice) < 0.7


def test_corrupt_bytes_are_no_json_under_the_key_and_time_of_a_real_event(good: list[Event], bad: list[Event]) -> None:
    places = {(event.stream, event.key, event.timestamp) for event in good}
    corrupt = [event for event in bad if event.disturbance == CORRUPT]
    for event in corrupt:
        assert (event.stream, event.key, event.timestamp) in places
        with pytest.raises(ValueError):
            json.loads(event.value)
    assert any(not event.value for event in corrupt)
    assert any(b"\xff" in event.value for event in corrupt)


def test_invalid_ones_are_json_that_no_good_event_equals(good: list[Event], bad: list[Event]) -> None:
    values = {event.value for event in good}
    invalid = [event for event in bad if event.disturbance == INVALID]
    for event in invalid:
        json.loads(event.value)
        assert event.value not in values


def test_the_same_seed_disturbs_alike_and_another_one_otherwise(
    batches: list[list[Event]], bad: list[Event], contracts: dict[str, Contract]
) -> None:
    assert disturbed(batches, ALL, contracts) == bad
    other = Faults(late=0.05, late_hours=6, duplicates=0.04, corrupt=0.03, invalid=0.02, seed=4)
    assert disturbed(batches, other, contracts) != bad


def test_a_kind_draws_the_same_events_whatever_the_others_do(
    batches: list[list[Event]], bad: list[Event], contracts: dict[str, Contract]
) -> None:
    alone = disturbed(batches, Faults(corrupt=0.03, seed=3), contracts)
    assert [e for e in alone if e.disturbance == CORRUPT] == [e for e in bad if e.disturbance == CORRUPT]


def test_the_size_of_batches_moves_no_draw(good: list[Event], bad: list[Event], contracts: dict[str, Contract]) -> None:
    small = [good[low : low + 777] for low in range(0, len(good), 777)]
    assert Counter(disturbed(small, ALL, contracts)) == Counter(bad)


def test_without_disturbances_nothing_changes(
    batches: list[list[Event]], good: list[Event], contracts: dict[str, Contract]
) -> None:
    assert disturbed(batches, Faults(), contracts) == good


def test_a_share_of_one_takes_every_event(good: list[Event], contracts: dict[str, Contract]) -> None:
    made = disturbed([good[:500]], Faults(late=1, duplicates=1, corrupt=1, invalid=1), contracts)
    kinds = Counter(event.disturbance for event in made)
    assert kinds == {LATE: 500, DUPLICATE: 500, CORRUPT: 500, INVALID: 500}


@pytest.mark.parametrize(
    "wrong", [{"late": 1.01}, {"duplicates": -0.1}, {"corrupt": 7}, {"invalid": -1}, {"late_hours": 0}, {"seed": -1}]
)
def test_what_is_no_share_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TerminalError, match=next(iter(wrong)).removesuffix("_hours")):
        Faults(**wrong)  # type: ignore[arg-type]
