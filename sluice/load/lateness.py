"""Which events came late: after their partition had already shown a later date, or even a date past the lateness.

A partition's watermark is the newest event time in it so far, in the order of offsets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.lake.ranges import PartitionKey

Mask = npt.NDArray[np.bool_]

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1) // _MICROSECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Arrivals:
    """How a batch's rows came."""

    late: Mask
    """Per row, whether its partition's watermark had reached the end of its date before it."""
    after_close: Mask
    """Per row, whether the watermark had reached the date's end and the contract's lateness."""
    watermarks: dict[PartitionKey, datetime]
    """Of each partition that has one, after the rows."""


def arrivals(
    rows: pa.Table, watermarks: Mapping[PartitionKey, datetime], lateness: timedelta, now: datetime
) -> Arrivals:
    """Follows the watermarks through rows.

    Args:
        rows: topic_id, partition, offset, timestamp and event_date of events that fit, in any order.
        watermarks: before the rows; a partition may have none.
        lateness: how long after a date's end its events are expected.
        now: event times after it move no watermark: one wrong record would make everything late.
    """
    late, after_close = np.zeros(rows.num_rows, np.bool_), np.zeros(rows.num_rows, np.bool_)
    result = Arrivals(late, after_close, dict(watermarks))
    if not rows.num_rows:
        return result
    topics = rows["topic_id"].combine_chunks().dictionary_encode()
    codes, partitions = topics.indices.to_numpy(), rows["partition"].to_numpy()
    order = np.lexsort((rows["offset"].to_numpy(), partitions, codes))
    times = rows["timestamp"].cast(pa.int64()).to_numpy()
    counted = np.where(times <= _microseconds(now), times, _NEVER)
    ends = (rows["event_date"].cast(pa.int32()).to_numpy().astype(np.int64) + 1) * _DAY
    borders = np.flatnonzero((np.diff(codes[order]) != 0) | (np.diff(partitions[order]) != 0)) + 1
    for mine in np.split(order, borders):
        place = topics.dictionary[int(codes[mine[0]])].as_py(), int(partitions[mine[0]])
        begin = _microseconds(watermarks[place]) if place in watermarks else _NEVER
        passed = np.maximum.accumulate(np.concatenate([[begin], counted[mine]]))
        late[mine] = passed[:-1] >= ends[mine]
        after_close[mine] = passed[:-1] >= ends[mine] + lateness // _MICROSECOND
        if passed[-1] != _NEVER:
            result.watermarks[place] = _EPOCH + int(passed[-1]) * _MICROSECOND
    return result


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
