"""Replay: validates open records of the quarantine again and moves those that are valid now to raw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.load.batch import read_batch
from sluice.load.rejection import RecordId, until_none_rejected
from sluice.load.transaction import transaction
from sluice.quarantine.records import Selection, open_dates
from sluice.registry import Decoder, decoder
from sluice.settings import Settings


@dataclass(frozen=True)
class Replay:
    """The result of replaying one date's open records."""

    stream: str
    event_date: date
    moved: int
    """Records that are valid now and moved to raw, at their own offsets."""
    left: int
    """Records that are still invalid."""


def replay(settings: Settings, contracts: dict[str, Contract], selection: Selection, done_by: str) -> Iterator[Replay]:
    """Validates open records against the current contracts, date by date, one transaction per date.

    Idempotent, and safe to run alongside loads and reloads: a record leaves quarantine in the transaction that writes
    it to raw. An interrupted replay has completed some of the dates; the next one continues with the rest.

    Args:
        settings: with the loader's password.
        contracts: by stream; records of other streams stay in quarantine.
        selection: the records, by anything but their exact kind; discarded ones are never replayed.
        done_by: the actor, for the audit log.

    Raises:
        TransientError, TerminalError: as a load; the current date is unchanged.
    """
    for stream, day in open_dates(settings, selection):
        if stream in contracts:
            contract = contracts[stream]
            decode = decoder(contract, settings)
            yield until_none_rejected(partial(_replay, settings, contract, decode, day, selection.reason, done_by))


def _replay(
    settings: Settings,
    contract: Contract,
    decode: Decoder | None,
    day: date,
    reason: str,
    done_by: str,
    rejected: Mapping[RecordId, str],
) -> Replay:
    with transaction(settings, contract) as warehouse:
        warehouse.lock_dates([day])
        records = warehouse.quarantined(day, reason)
        batch = read_batch(contract, records, rejected=rejected, decode=decode)
        moved, left = records.filter(batch.columns.is_valid), records.filter(pc.invert(batch.columns.is_valid))
        if moved.num_rows:
            now = datetime.now(UTC)
            warehouse.write(batch.without_invalid(), now)
            event_dates = batch.valid()["event_date"]
            warehouse.mark_stale({day, *event_dates.to_pylist()})
            warehouse.release(day, moved, event_dates, "replayed", done_by)
            warehouse.add_date_sources(batch)
            warehouse.add_date_stats({}, batch.drift(), now)
        warehouse.update_reasons(left, batch.columns.reasons)
    return Replay(contract.stream, day, moved.num_rows, left.num_rows)
