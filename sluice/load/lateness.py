"""Late events: those that arrive after their partition has passed the end of their date, or its close.

A partition's watermark is the newest plausible event time in it so far, in the order of offsets. An event time is
plausible up to an hour after anything that speaks for it: this host's clock, the stream's watermarks, or the middle one
of the batch's event times. So a slow clock keeps no date open, and one wrong record from the future closes none.
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
_TOLERANCE = timedelta(hours=1)
_MIN_EVENTS = 3
"""Events that a batch needs for their middle time to mean anything: of two, one may be wrong."""
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Lateness:
    """Which of a batch's rows are late, and the watermarks after them."""

    late: Mask
    """Per row, whether its partition's watermark had reached the end of its date before it."""
    after_close: Mask
    """Per row, whether the watermark had reached the date's end plus the allowed lateness."""
    watermarks: dict[PartitionKey, datetime]
    """Of each partition that has one, after the rows."""


def track_lateness(
    rows: pa.Table, watermarks: Mapping[PartitionKey, datetime], allowed_lateness: timedelta, now: datetime
) -> Lateness:
    """Advances the watermarks row by row and finds the late rows.

    Args:
        rows: topic_id, partition, offset, timestamp (the event time) and event_date of valid events, in any order.
        watermarks: before the rows; a partition may have none.
        allowed_lateness: how long after a date's end its events are expected.
        now: by this host's clock.
    """
    late, after_close = np.zeros(rows.num_rows, np.bool_), np.zeros(rows.num_rows, np.bool_)
    result = Lateness(late, after_close, dict(watermarks))
    if not rows.num_rows:
        return result
    topics = rows["topic_id"].combine_chunks().dictionary_encode()
    codes, partitions = topics.indices.to_numpy(), rows["partition"].to_numpy()
    order = np.lexsort((rows["offset"].to_numpy(), partitions, codes))
    times = rows["timestamp"].cast(pa.int64()).to_numpy()
    counted = np.where(times <= _latest_plausible(times, watermarks, now), times, _NEVER)
    day_ends = (rows["event_date"].cast(pa.int32()).to_numpy().astype(np.int64) + 1) * _DAY
    boundaries = np.flatnonzero((np.diff(codes[order]) != 0) | (np.diff(partitions[order]) != 0)) + 1
    for row_indices in np.split(order, boundaries):
        key = topics.dictionary[int(codes[row_indices[0]])].as_py(), int(partitions[row_indices[0]])
        initial = _microseconds(watermarks[key]) if key in watermarks else _NEVER
        # The watermark before each row, and after the last one.
        watermark = np.maximum.accumulate(np.concatenate([[initial], counted[row_indices]]))
        late[row_indices] = watermark[:-1] >= day_ends[row_indices]
        after_close[row_indices] = watermark[:-1] >= day_ends[row_indices] + allowed_lateness // _MICROSECOND
        if watermark[-1] != _NEVER:
            result.watermarks[key] = _EPOCH + int(watermark[-1]) * _MICROSECOND
    return result


def _latest_plausible(times: npt.NDArray[np.int64], watermarks: Mapping[PartitionKey, datetime], now: datetime) -> int:
    """Returns the latest event time that advances a watermark, in microseconds since 1970."""
    witnesses = [_microseconds(moment) for moment in (now, *watermarks.values())]
    if len(times) >= _MIN_EVENTS:
        # The lower of two middle times.
        middle = (len(times) - 1) // 2
        witnesses.append(int(np.partition(times, middle)[middle]))
    return max(witnesses) + _TOLERANCE // _MICROSECOND


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
