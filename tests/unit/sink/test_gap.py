"""A gap is recorded only for exactly the offsets that are lost."""

import pytest

from sluice.errors import TerminalError
from sluice.kafka.topics import KafkaRange
from sluice.sink.gap import refuse

KAFKA = KafkaRange("s", "id", 3, start=12, end=20)


def test_exactly_what_is_lost_is_accepted() -> None:
    refuse(KAFKA, head=5, end=12)


@pytest.mark.parametrize(
    ("head", "end", "says"),
    [
        (12, 12, "s/3: nothing is lost: the lake goes on at 12, and Kafka has offsets from 12"),
        (15, 20, "s/3: nothing is lost: the lake goes on at 15"),
        (5, 11, "s/3: offsets 5 to 11 are lost, not 5 to 10. Hint: Kafka has offsets from 12: say --to 12"),
        (5, 13, "say --to 12"),
        (5, 5, "say --to 12"),
    ],
)
def test_anything_else_is_refused(head: int, end: int, says: str) -> None:
    with pytest.raises(TerminalError) as error:
        refuse(KAFKA, head, end)
    assert says in str(error.value)
