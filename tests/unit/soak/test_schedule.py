"""The schedule of the soak's faults follows from its seed."""

import pytest

from tests.soak.schedule import KINDS, QUIET, schedule

HOUR = 3600
SEEDS = range(50)


def test_the_same_seed_has_the_same_faults_and_another_seed_has_others() -> None:
    assert schedule(7, HOUR) == schedule(7, HOUR)
    assert schedule(7, HOUR) != schedule(8, HOUR)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_hits_every_target_within_an_hour(seed: int) -> None:
    hit = {(fault.kind, fault.target) for fault in schedule(seed, HOUR)}
    assert hit == {(kind.name, target) for kind in KINDS for target in kind.targets}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_of_fault_occurs_within_five_minutes(seed: int) -> None:
    assert {fault.kind for fault in schedule(seed, 300)} == {kind.name for kind in KINDS}


@pytest.mark.parametrize("seconds", [30, 120, 300, HOUR])
def test_every_fault_ends_within_the_soak(seconds: int) -> None:
    for seed in SEEDS:
        faults = schedule(seed, seconds)
        assert all(fault.moment >= QUIET and fault.moment + fault.seconds <= seconds for fault in faults)
        assert faults == sorted(faults, key=lambda fault: fault.moment)


def test_a_longer_soak_begins_with_the_faults_of_a_shorter_one() -> None:
    for seed in SEEDS:
        shorter, longer = schedule(seed, 600), schedule(seed, HOUR)
        # But for those that the shorter one would have cut.
        assert [fault for fault in longer if fault.moment + fault.seconds <= 600] == shorter


def test_no_schedule_is_longer_than_its_soak() -> None:
    assert schedule(1, QUIET) == []
