"""Which files are needed to read a group of offsets, according to the commits that wrote them."""

from sluice.lake.ranges import CommittedRange, Range
from sluice.lake.reader import RecentCommits

TOPIC = "t"
RECENT = RecentCommits(
    [
        CommittedRange(5, TOPIC, 0, 100, 150, 50, ""),
        CommittedRange(5, TOPIC, 1, 0, 10, 10, ""),
        CommittedRange(6, TOPIC, 0, 150, 200, 50, ""),
        CommittedRange(8, TOPIC, 1, 10, 20, 10, ""),
    ],
    # Version 7 compacted earlier files, so it records no offsets.
    {5: frozenset({"a", "b"}), 6: frozenset({"c"}), 7: frozenset({"joined"}), 8: frozenset({"d"})},
)


def test_needed_files_are_those_of_the_commits_that_wrote_the_offsets_and_compacted_ones() -> None:
    # Partition 1 is far behind: by their minimum and maximum offsets, all files could contain its rows.
    assert RECENT.paths([Range(TOPIC, 1, 10, 20)]) == {"d", "joined"}
    assert RECENT.paths([Range(TOPIC, 0, 149, 151)]) == {"a", "b", "c", "joined"}
    assert RECENT.paths([Range(TOPIC, 0, 150, 200), Range(TOPIC, 1, 10, 20)]) == {"c", "d", "joined"}
    assert RECENT.paths([Range("another", 0, 0, 200)]) == {"joined"}
