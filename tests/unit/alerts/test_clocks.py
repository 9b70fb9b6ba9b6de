"""Clocks that differ by more than a minute are named, whichever is ahead."""

from datetime import timedelta

from sluice.alerts.clocks import MAX_SKEW, skewed

MINUTE = timedelta(minutes=1)


def test_clocks_that_differ_are_named_with_their_distance() -> None:
    problems = skewed({"Postgres": 7 * MINUTE, "MinIO": -2 * MINUTE}, {"a.stream": 5 * MINUTE})
    assert {subject: problem.partition(";")[0] for subject, problem in problems.items()} == {
        "Postgres": "its clock is 7 min ahead of this host's",
        "MinIO": "its clock is 2 min behind this host's",
        "a.stream": "events are 5 min ahead of the clock of the host that loads them",
    }


def test_small_differences_and_past_events_are_normal() -> None:
    assert skewed({"Postgres": MAX_SKEW, "MinIO": -MAX_SKEW}, {"a.stream": -400 * MINUTE}) == {}
