"""How fast events come in, from counts that are looked at now and then."""

from dashboard.poller import RATE_SECONDS, Rate


def test_a_first_count_has_no_rate() -> None:
    assert Rate().tell(1_000, 5.0) is None


def test_a_rate_is_that_of_the_last_minute() -> None:
    rate = Rate()
    for second in range(0, 600, 5):
        found = rate.tell(second * 10, float(second))
    assert found == 10
    # What came long ago counts no more.
    for second in range(600, 600 + int(RATE_SECONDS) + 10, 5):
        found = rate.tell(6_000, float(second))
    assert found == 0


def test_a_count_that_falls_begins_anew() -> None:
    rate = Rate()
    rate.tell(1_000, 0.0)
    assert rate.tell(0, 5.0) is None
    assert rate.tell(50, 10.0) == 10


def test_a_gap_is_part_of_the_time() -> None:
    rate = Rate()
    rate.tell(0, 0.0)
    assert rate.tell(1_000, 1_000.0) == 1
