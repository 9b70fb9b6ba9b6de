"""Replaying: open records of the quarantine are checked again, and those that fit their contract now go to raw."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.load.batch import read_batch
from sluice.load.transaction import transaction
from sluice.quarantine.records import Selection, open_dates
from sluice.settings import Settings


@dataclass(frozen=True)
class Replay:
    """What became of one date's open records."""

    stream: str
    event_date: date
    moved: int
    """Fit their contract now, and went to raw at their own offsets."""
    left: int
    """Do not fit it."""


def replay(settings: Settings, contracts: dict[str, Contract], selection: Selection, done_by: str) -> Iterator[Replay]:
    """Checks open records against the contracts as they are now, date by date, each in one transaction.

    Running it twice, or beside loads and reloads, changes nothing: a record leaves the quarantine in the transaction
    that brings it to raw. Interrupted, it has replayed some of the dates whole, and the next one goes on.

    Args:
        settings: with the loader's password.
        contracts: by stream; what is in quarantine of other streams stays there.
        selection: which; discarded ones are left alone, whatever it says.
        done_by: who asks for it.

    Raises:
        TransientError, TerminalError: as a load; the date under way is as it was.
    """
    for stream, day in open_dates(settings, selection):
        if stream in contracts:
            yield _replay(settings, contracts[stream], day, selection.reason, done_by)


def _replay(settings: Settings, contract: Contract, day: date, reason: str, done_by: str) -> Replay:
    with transaction(settings, contract) as warehouse:
        warehouse.lock_date(day)
        records = warehouse.quarantined(day, reason)
        batch = read_batch(contract, records)
        moved, left = records.filter(batch.columns.fits), records.filter(pc.invert(batch.columns.fits))
        if moved.num_rows:
            now = datetime.now(UTC)
            warehouse.write(replace(batch, unfit=left.slice(0, 0)), now)
            warehouse.touch([day])
            warehouse.release(day, moved, "replayed", done_by)
            warehouse.add_dates({}, batch.drift(), now)
        warehouse.restate(left, batch.columns.reasons)
    return Replay(contract.stream, day, moved.num_rows, left.num_rows)
