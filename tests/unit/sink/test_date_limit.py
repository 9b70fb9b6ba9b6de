"""A batch with too many dates is cut into commits of few dates, each with all offsets below its progress."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.lake.chunk import Chunk, record_columns
from sluice.sink.date_limit import limit_dates

DAY_MS = 86_400_000
Records = list[tuple[int, int]]
"""The distance of each offset from the one before it, and its date."""


def _chunk(partition: int, records: Records) -> Chunk:
    offsets, offset = [], 5
    for distance, _ in records:
        offset += distance
        offsets.append(offset)
    nulls = [None] * len(records)
    rows = record_columns("id", partition, offsets, [DAY_MS * day for _, day in records], nulls, nulls, nulls)
    return Chunk("id", partition, 5, offset + 3, rows)


@given(
    chunks=st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), max_size=30), min_size=1, max_size=3),
    limit=st.integers(1, 12),
)
def test_parts_follow_each_other_and_have_few_dates(chunks: list[Records], limit: int) -> None:
    whole = {partition: _chunk(partition, records) for partition, records in enumerate(chunks)}
    reached = dict.fromkeys(whole, 5)
    offsets: dict[int, list[int]] = {partition: [] for partition in whole}
    for part in limit_dates(whole, limit):
        dates = set()
        for partition, chunk in part.items():
            assert chunk.start_offset == reached[partition]
            reached[partition] = chunk.next_offset
            found = chunk.rows["offset"].to_pylist()
            assert all(chunk.start_offset <= offset < chunk.next_offset for offset in found)
            offsets[partition] += found
            dates |= set(chunk.rows["event_date"].to_pylist())
        assert len(dates) <= max(limit, len(whole))
    assert reached == {partition: chunk.next_offset for partition, chunk in whole.items()}
    assert offsets == {partition: chunk.rows["offset"].to_pylist() for partition, chunk in whole.items()}
