"""The truth of the quarantine: the invalid records of every replay, generated again from its seed."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import md5
from pathlib import Path

import pandas as pd

from producers.fault_injection import CORRUPT, INVALID, inject_faults
from producers.flights.timeline import Timeline
from sluice.contracts import load_contracts
from tests.soak.feed import COPIES, Slice
from tests.soak.truth import Query

_PROCESSES = 2
Records = Counter[tuple[str, str]]
"""Records by stream and digest of the value."""


def assert_quarantine(query: Query, contracts: Path, slices: Iterable[Slice]) -> int:
    """Asserts that the quarantine has the invalid records of the replays, and no others; returns their number.

    A replay that was killed has sent some of its records again, so that there may be more of each.
    """
    expected = Records()
    with ProcessPoolExecutor(_PROCESSES) as pool:
        for records in pool.map(partial(invalid_records, contracts), slices):
            expected.update(records)
    frame: pd.DataFrame = query(
        "select stream, md5(coalesce(value, '')) as digest, count(*) as count from raw.quarantine group by 1, 2"
    )
    found = Records({(stream, digest): count for stream, digest, count in frame.itertuples(index=False)})
    unexpected, missing = found.keys() - expected.keys(), expected - found
    assert not unexpected, f"{len(unexpected)} values in quarantine were not sent as invalid"
    assert not missing, f"{missing.total()} of {expected.total()} invalid records are not in quarantine"
    return found.total()


def invalid_records(contracts: Path, part: Slice) -> Records:
    """Returns the invalid records of a replay."""
    known = load_contracts(contracts)
    events = inject_faults(Timeline(known, part.first, part.last, copies=COPIES).batches(), part.faults, known)
    return Records(
        (event.stream, md5(event.value, usedforsecurity=False).hexdigest())
        for batch in events
        for event in batch
        if event.fault in (CORRUPT, INVALID)
    )
