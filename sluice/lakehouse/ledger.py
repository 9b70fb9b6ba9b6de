"""The ledger of the second warehouse: which offsets each batch of a stream takes, written before its rows."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from sluice.contracts import Contract
from sluice.lake.ranges import PartitionKey, Range
from sluice.lakehouse.layout import LEDGER, LEDGER_SCHEMA, open_table, raw_table, read_rows, write_rows
from sluice.settings import Settings


@dataclass(frozen=True)
class Batch:
    """What one load takes from a stream."""

    number: int
    """1 for the stream's first batch."""
    ranges: list[Range]


@dataclass(frozen=True)
class Ledger:
    """A stream's batches."""

    last: int = 0
    """The number of the last batch; 0 for none."""
    unfinished: Batch | None = None
    """The last batch, if the raw table does not have it yet."""
    next_offsets: dict[PartitionKey, int] = field(default_factory=dict)
    """The first offset after all batches, per partition."""

    def ranges(self) -> list[Range]:
        """Returns the offsets of all batches together."""
        return [Range(*key, 0, next_offset) for key, next_offset in self.next_offsets.items()]


def read_ledger(settings: Settings, contract: Contract) -> Ledger:
    """Returns the stream's ledger; an empty one before its first batch.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    rows = read_rows(settings, LEDGER, stream=contract.stream)
    if rows is None or not rows.num_rows:
        return Ledger()
    next_offsets: dict[PartitionKey, int] = {}
    for row in rows.to_pylist():
        key = row["topic_id"], row["partition"]
        next_offsets[key] = max(row["next_offset"], next_offsets.get(key, 0))
    last: int = pc.max(rows["batch"]).as_py()
    if last <= last_loaded(settings, contract):
        return Ledger(last, None, next_offsets)
    names = ("topic_id", "partition", "start_offset", "next_offset")
    planned = rows.filter(pc.equal(rows["batch"], last)).to_pylist()
    return Ledger(last, Batch(last, [Range(*(row[name] for name in names)) for row in planned]), next_offsets)


def last_loaded(settings: Settings, contract: Contract) -> int:
    """Returns the number of the last batch that the raw table has; 0 for none.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    table = open_table(settings, raw_table(contract.table))
    return (table.transaction_version(transaction(contract)) or 0) if table else 0


def transaction(contract: Contract) -> str:
    """Returns the id of the application transaction whose version is the number of the last batch."""
    return f"load/{contract.stream}"


def plan(settings: Settings, contract: Contract, batch: Batch) -> None:
    """Writes a batch to the ledger.

    Raises:
        TransientError, TerminalError: the store is down or rejects a request.
    """
    now = datetime.now(UTC)
    rows = [_row(contract.stream, batch.number, offsets, now) for offsets in batch.ranges]
    write_rows(settings, LEDGER, pa.Table.from_pylist(rows, LEDGER_SCHEMA), "append")


def _row(stream: str, number: int, offsets: Range, now: datetime) -> dict[str, object]:
    return {
        "stream": stream,
        "batch": number,
        "topic_id": offsets.topic_id,
        "partition": offsets.partition,
        "start_offset": offsets.start_offset,
        "next_offset": offsets.next_offset,
        "planned_at": now,
    }
