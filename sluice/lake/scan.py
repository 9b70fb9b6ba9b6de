"""Reading a table's rows range by range, file faults included: a file that cannot be read is named and left out."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs
from deltalake import DeltaTable

from sluice.errors import TransientError
from sluice.lake.ranges import Place
from sluice.lake.table import store_fault

_READ_FAULTS = (OSError, pa.ArrowException)
_TRIES = 3
_PLACE = ["topic_id", "partition"]


class TableScan:
    """The files of one version of a table. ``faults`` says which of them could not be read, and why."""

    def __init__(self, table: DeltaTable) -> None:
        self.uri = table.table_uri
        dataset = table.to_pyarrow_dataset()
        self._schema, self._format, self._filesystem = dataset.schema, dataset.format, dataset.filesystem
        self._fragments = {fragment.path: fragment for fragment in dataset.get_fragments()}
        self.files = len(self._fragments)
        self.faults: list[str] = []
        self._densities: list[tuple[int, float]] = []
        stated = pa.table(table.get_add_actions(flatten=True))
        counts = dict(zip(stated["path"].to_pylist(), stated["num_records"].to_pylist(), strict=True))
        for path in list(self._fragments):
            self._look(path, counts.get(path))

    def row_bytes(self) -> float:
        """Bytes that a row takes in memory, by the densest of the ten largest files; small ones are mostly footers."""
        return max((density for _, density in sorted(self._densities)[-10:]), default=1.0) or 1.0

    def counts(self) -> dict[Place, int]:
        """Rows per partition, in all files."""
        found: dict[Place, int] = {}
        for batch in self._batches(_PLACE):
            groups = pa.Table.from_batches([batch]).group_by(_PLACE).aggregate([([], "count_all")])
            for row in groups.to_pylist():
                place = (row["topic_id"], row["partition"])
                found[place] = found.get(place, 0) + row["count_all"]
        return found

    def outside(self, spans: dict[Place, list[tuple[int, int]]]) -> dict[Place, tuple[int, int]]:
        """Per partition that has any: how many rows lie in none of its spans of offsets, and the lowest of them."""
        found: dict[Place, tuple[int, int]] = {}
        for batch in self._batches([*_PLACE, "offset"]):
            rows = pa.Table.from_batches([batch])
            for place in rows.group_by(_PLACE).aggregate([]).to_pylist():
                key = (place["topic_id"], place["partition"])
                offsets = rows.filter(_is(key))["offset"].to_numpy()
                inside = np.zeros(len(offsets), dtype=bool)
                for first, following in spans.get(key, []):
                    inside |= (offsets >= first) & (offsets < following)
                beyond = offsets[~inside]
                if len(beyond):
                    count, lowest = found.get(key, (0, int(beyond[0])))
                    found[key] = (count + len(beyond), min(lowest, int(beyond.min())))
        return found

    def read(
        self, spans: dict[Place, tuple[int, int]], column: str | None
    ) -> dict[Place, tuple[npt.NDArray[np.int64], pa.ChunkedArray | None]]:
        """The rows within one span per partition: their offsets, ascending, and a column of them if one is asked for.

        Raises:
            TransientError: the store does not answer.
        """
        columns = [*_PLACE, "offset", *([column] if column else [])]
        condition = None
        for place, (first, following) in spans.items():
            here = _is(place) & (pc.field("offset") >= first) & (pc.field("offset") < following)
            condition = here if condition is None else condition | here
        rows = self._read(columns, condition)
        result = {}
        for place in spans:
            mine = rows.filter(_is(place))
            offsets = mine["offset"].to_numpy()
            if len(offsets) > 1 and np.any(offsets[1:] < offsets[:-1]):
                order = np.argsort(offsets, kind="stable")
                mine, offsets = mine.take(pa.array(order)), offsets[order]
            result[place] = (offsets, mine[column] if column else None)
        return result

    def _look(self, path: str, stated: int | None) -> None:
        """Opens a file's footer."""
        try:
            metadata = self._fragments[path].metadata
        except _READ_FAULTS:
            self._weed([path], None, None)
            if path not in self._fragments:
                return
            metadata = self._fragments[path].metadata
        if stated is not None and metadata.num_rows != stated:
            self.faults.append(f"file {path}: holds {metadata.num_rows} rows, the log says {stated}")
        size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        self._densities.append((size, size / max(metadata.num_rows, 1)))

    def _read(self, columns: Sequence[str], condition: pc.Expression | None) -> pa.Table:
        for _ in range(_TRIES):
            paths = list(self._fragments)
            try:
                return self._scanner(paths, columns, condition).to_table()
            except _READ_FAULTS as error:
                fault = error
                self._weed(paths, columns, condition)
        raise store_fault(self.uri, fault) from fault

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows, file by file."""
        for path in list(self._fragments):
            try:
                batches = list(self._scanner([path], columns, None).to_batches())
            except _READ_FAULTS:
                self._weed([path], columns, None)
                if path not in self._fragments:
                    continue
                batches = list(self._scanner([path], columns, None).to_batches())
            yield from batches

    def _scanner(self, paths: Sequence[str], columns: Sequence[str], condition: pc.Expression | None) -> ds.Scanner:
        fragments = [self._fragments[path] for path in paths]
        dataset = ds.FileSystemDataset(fragments, self._schema, self._format, self._filesystem)
        # Little is read ahead: memory is bounded by what is asked for.
        return dataset.scanner(
            columns=list(columns), filter=condition, batch_size=32_768, batch_readahead=1, fragment_readahead=1
        )

    def _weed(self, paths: Sequence[str], columns: Sequence[str] | None, condition: pc.Expression | None) -> None:
        """Names and leaves out those of the files that cannot be read though the store answers."""
        for path in paths:
            fault: Exception | None = None
            for _ in range(_TRIES):
                try:
                    if columns is None:
                        self._format.inspect(path, self._filesystem)
                    else:
                        self._scanner([path], columns, condition).to_table()
                    fault = None
                    break
                except _READ_FAULTS as error:
                    fault = error
            if fault is None:
                continue
            try:
                missing = self._filesystem.get_file_info([path])[0].type == pa.fs.FileType.NotFound
            except _READ_FAULTS as error:
                raise TransientError(f"{self.uri}: {error}", "see `make status` and `make logs S=minio`") from error
            self.faults.append(f"file {path}: " + ("is missing" if missing else f"is damaged: {_line(fault)}"))
            del self._fragments[path]


def _is(place: Place) -> pc.Expression:
    return (pc.field("topic_id") == place[0]) & (pc.field("partition") == place[1])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
