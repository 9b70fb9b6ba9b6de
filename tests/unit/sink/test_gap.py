"""A gap can only be recorded for exactly the offsets that are lost."""

import pytest

from sluice.errors import TerminalError
from sluice.kafka.topics import KafkaRange
from sluice.sink.gap import check_gap

KAFKA = KafkaRange("s", "topic", "id", 3, start=12, end=20)


def test_exactly_the_lost_offsets_are_accepted() -> None:
    check_gap(KAFKA, next_offset=5, end=12)


@pytest.mark.parametrize(
    ("next_offset", "end", "message"),
    [
        (12, 12, "s/3: nothing is lost: the lake's next offset is 12, and Kafka has offsets from 12"),
        (15, 20, "s/3: nothing is lost: the lake's next offset is 15"),
        (5, 11, "s/3: offsets 5 to 11 are lost, not 5 to 10. Hint: pass --to 12, the first offset that Kafka has"),
        (5, 13, "pass --to 12"),
        (5, 5, "pass --to 12"),
    ],
)
def test_any_other_range_is_rejected(next_offset: int, end: int, message: str) -> None:
    with pytest.raises(TerminalError) as error:
        check_gap(KAFKA, next_offset, end)
    assert message in str(error.value)
