"""Reading the lake: only the files that can hold what is asked for, and only the columns."""

from collections.abc import Iterable, Mapping
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sluice.contracts import Contract
from sluice.errors import TerminalError
from sluice.lake.layout import storage_options, table_uri, transaction_id
from sluice.lake.ranges import read_ledger
from sluice.lake.table import no_table, store_fault
from sluice.settings import Settings

_NEWEST = 10
"""Commits that are looked through for the ids of topics of which no row has come yet."""


class LakeReader:
    """One stream's table at the version it had when this was made. Everything read is of that version."""

    def __init__(self, settings: Settings, stream: str) -> None:
        """Opens the table.

        Raises:
            TransientError: there is none yet, or the store does not answer.
            TerminalError: the store refuses.
        """
        self.uri = table_uri(settings, stream)
        try:
            self.table = DeltaTable(self.uri, storage_options=storage_options(settings, "reader"))
            self._dataset = self.table.to_pyarrow_dataset()
            self._files = pa.table(self.table.get_add_actions(flatten=True))
        except TableNotFoundError as error:
            raise no_table(self.uri) from error
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error

    def beyond(self, heads: Mapping[tuple[str, int], int]) -> pa.Table:
        """topic_id, partition and offset of at least all rows beyond the heads (next offset per place)."""
        lowest: dict[str, int] = {}
        for (topic_id, _), head in heads.items():
            lowest[topic_id] = min(lowest.get(topic_id, head), head)
        files = self._files
        if files.num_rows:
            # A file is of no use if it holds one topic alone, and nothing at or above that topic's lowest head.
            of_one_topic = pc.equal(files["min.topic_id"], files["max.topic_id"])
            floors = pa.array([lowest.get(topic_id, 0) for topic_id in files["min.topic_id"].to_pylist()], pa.int64())
            below = pc.and_(of_one_topic, pc.less(files["max.offset"], floors))
            files = files.filter(pc.invert(pc.fill_null(below, False)))
        return self._read(files, ["topic_id", "partition", "offset"], None)

    def heads(self, topic_ids: Iterable[str], contract: Contract) -> dict[tuple[str, int], int]:
        """The next offset of every partition that has one, of the given topic ids and those of the newest commits."""
        try:
            newest = read_ledger(self.table.history(_NEWEST), self.table.version()).ranges
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error
        found = {
            (topic_id, partition): self.transaction(transaction_id(topic_id, partition))
            for topic_id in sorted({*topic_ids, *(each.topic_id for each in newest)})
            for partition in range(contract.topic.partitions)
        }
        return {place: head for place, head in found.items() if head}

    def transaction(self, name: str) -> int:
        """The version of an application transaction; 0 where there is none.

        Raises:
            TransientError, TerminalError: the store does not answer, or refuses.
        """
        try:
            return self.table.transaction_version(name) or 0
        except (DeltaError, OSError) as error:
            raise store_fault(self.uri, error) from error

    def row_bytes(self) -> float:
        """Bytes that a row takes in memory, by the densest of the ten largest files; 0 for an empty table."""
        largest = self._files.sort_by([("size_bytes", "descending")]).slice(0, 10) if self._files.num_rows else None
        if largest is None:
            return 0.0
        paths = set(largest["path"].to_pylist())
        sizes: list[float] = [
            float(sum(group.total_byte_size for group in fragment.row_groups)) / max(fragment.metadata.num_rows, 1)
            for fragment in self._dataset.get_fragments()
            if fragment.path in paths
        ]
        return max(sizes)

    def rows(self, condition: pc.Expression, columns: list[str], day: date | None = None) -> pa.Table:
        """The rows that fulfil a condition, of one event date if it is given.

        Raises:
            TerminalError: a data file is missing or damaged; the message names it.
            TransientError: the store does not answer.
        """
        files = self._files
        if day is not None:
            files = files.filter(pc.equal(files["partition.event_date"], pa.scalar(day, pa.date32())))
        return self._read(files, columns, condition)

    def _read(self, files: pa.Table, columns: list[str], condition: pc.Expression | None) -> pa.Table:
        wanted = set(files["path"].to_pylist()) if files.num_rows else set()
        fragments = [fragment for fragment in self._dataset.get_fragments() if fragment.path in wanted]
        if len(fragments) != len(wanted):
            raise TerminalError(f"{self.uri}: {len(wanted)} files asked for, {len(fragments)} found in the log")
        dataset = ds.FileSystemDataset(fragments, self._dataset.schema, self._dataset.format, self._dataset.filesystem)
        try:
            return dataset.to_table(columns=columns, filter=condition)
        except FileNotFoundError as error:
            raise TerminalError(
                f"{self.uri}: a data file is missing: {error}", "restore it: the log names it"
            ) from error
        except pa.ArrowInvalid as error:
            raise TerminalError(f"{self.uri}: a data file is damaged: {error}", "restore it from a copy") from error
        except OSError as error:
            raise store_fault(self.uri, error) from error
