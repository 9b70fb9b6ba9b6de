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
def originals(batches: list[list[Event]]) -> list[Event]:
    return [event for batch in batches for event in batch]


def inject(batches: list[list[Event]], faults: Faults, contracts: dict[str, Contract]) -> list[Event]:
    return [event for batch in inject_faults(batches, faults, contracts) for event in batch]


@pytest.fixture(scope="module")
def faulty(batches: list[list[Event]], contracts: dict[str, Contract]) -> list[Event]:
    return inject(batches, ALL, contracts)


def record(event: Event) -> tuple[str, bytes, bytes, int]:
    return event[:4]


def test_every_original_is_sent(originals: list[Event], faulty: list[Event]) -> None:
    without_additions = Counter(record(event) for event in faulty if event.fault in ("", LATE))
    assert without_additions == Counter(record(event) for event in originals)


def test_every_fault_has_its_share(originals: list[Event], faulty: list[Event]) -> None:
    counts = Counter(event.fault for event in faulty)
    for fault, share in ALL.share_by_fault.items():
        assert counts[fault] == pytest.approx(share * len(originals), rel=0.15)


def test_events_are_in_the_order_of_their_due_time(faulty: list[Event]) -> None:
    times = [event.due for event in faulty]
    assert times == sorted(times)


def test_a_late_event_keeps_its_timestamp_and_its_delay_is_bounded(faulty: list[Event]) -> None:
    delays = [event.due - event.timestamp for event in faulty if event.fault == LATE]
    assert min(delays) > 0
    assert 5 * HOUR < max(delays) <= 6 * HOUR
    assert all(event.due == event.timestamp for event in faulty if not event.fault)


def test_a_duplicate_is_the_same_record_sent_at_once_or_later(originals: list[Event], faulty: list[Event]) -> None:
    duplicates = [event for event in faulty if event.fault == DUPLICATE]
    assert {record(event) for event in duplicates} <= {record(event) for event in originals}
    later = sum(event.due > event.timestamp for event in duplicates)
    assert 0.3 < later / len(duplicates) < 0.7


def test_a_corrupt_event_is_invalid_json_with_the_key_and_timestamp_of_an_original(
    originals: list[Event], faulty: list[Event]
) -> None:
    sources = {(event.stream, event.key, event.timestamp) for event in originals}
    corrupt = [event for event in faulty if event.fault == CORRUPT]
    for event in corrupt:
        assert (event.stream, event.key, event.timestamp) in sources
        with pytest.raises(ValueError):
            json.loads(event.value)
    assert any(not event.value for event in corrupt)
    assert any(b"\xff" in event.value for event in corrupt)


def test_an_invalid_event_is_json_that_differs_from_every_original(originals: list[Event], faulty: list[Event]) -> None:
    values = {event.value for event in originals}
    invalid = [event for event in faulty if event.fault == INVALID]
    for event in invalid:
        json.loads(event.value)
        assert event.value not in values


def test_the_seed_determines_the_faults(
    batches: list[list[Event]], faulty: list[Event], contracts: dict[str, Contract]
) -> None:
    assert inject(batches, ALL, contracts) == faulty
    other = Faults(late=0.05, late_hours=6, duplicates=0.04, corrupt=0.03, invalid=0.02, seed=4)
    assert inject(batches, other, contracts) != faulty


def test_a_fault_selects_the_same_events_without_the_others(
    batches: list[list[Event]], faulty: list[Event], contracts: dict[str, Contract]
) -> None:
    alone = inject(batches, Faults(corrupt=0.03, seed=3), contracts)
    assert [e for e in alone if e.fault == CORRUPT] == [e for e in faulty if e.fault == CORRUPT]


def test_the_faults_do_not_depend_on_the_batch_size(
    originals: list[Event], faulty: list[Event], contracts: dict[str, Contract]
) -> None:
    small = [originals[low : low + 777] for low in range(0, len(originals), 777)]
    assert Counter(inject(small, ALL, contracts)) == Counter(faulty)


def test_without_faults_nothing_changes(
    batches: list[list[Event]], originals: list[Event], contracts: dict[str, Contract]
) -> None:
    assert inject(batches, Faults(), contracts) == originals


def test_a_share_of_one_selects_every_event(originals: list[Event], contracts: dict[str, Contract]) -> None:
    events = inject([originals[:500]], Faults(late=1, duplicates=1, corrupt=1, invalid=1), contracts)
    assert Counter(event.fault for event in events) == {LATE: 500, DUPLICATE: 500, CORRUPT: 500, INVALID: 500}


@pytest.mark.parametrize(
    "wrong", [{"late": 1.01}, {"duplicates": -0.1}, {"corrupt": 7}, {"invalid": -1}, {"late_hours": 0}, {"seed": -1}]
)
def test_invalid_settings_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(TerminalError, match=next(iter(wrong)).removesuffix("_hours")):
        Faults(**wrong)  # type: ignore[arg-type]
