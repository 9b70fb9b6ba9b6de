"""Reading a table's rows, file faults included: a file that cannot be read is named and left out."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from sluice.errors import TransientError

_READ_FAULTS = (OSError, pa.ArrowException)
_TRIES = 3
_ROWS = 32_768
_BUFFER = 1 << 20


class TableScan:
    """The files of one version of a table. ``faults`` says which of them could not be read, and why."""

    def __init__(self, table: DeltaTable) -> None:
        self.uri = table.table_uri
        dataset = table.to_pyarrow_dataset()
        self._filesystem = dataset.filesystem
        self._fragments = {fragment.path: fragment for fragment in dataset.get_fragments()}
        self.files = len(self._fragments)
        self.faults: list[str] = []
        stated = pa.table(table.get_add_actions(flatten=True))
        counts = dict(zip(stated["path"].to_pylist(), stated["num_records"].to_pylist(), strict=True))
        for path in list(self._fragments):
            self._look(path, counts.get(path))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows, each file read once, in the order of dates. A file that breaks off is named; its rest is left out.

        Raises:
            TransientError: the store does not answer.
        """
        for path in sorted(self._fragments):
            done = tries = 0
            while True:
                try:
                    with self._filesystem.open_input_file(path) as source:
                        # Page by page: a row group can be larger than memory.
                        file = pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
                        for number, batch in enumerate(file.iter_batches(_ROWS, columns=list(columns))):
                            if number == done:
                                done += 1
                                tries = 0
                                yield batch
                    break
                except _READ_FAULTS as error:
                    tries += 1
                    if tries == _TRIES:
                        self._blame(path, error)
                        break

    def _look(self, path: str, stated: int | None) -> None:
        """Opens a file's footer."""
        for attempt in range(_TRIES):
            try:
                metadata = self._fragments[path].metadata
            except _READ_FAULTS as error:
                if attempt == _TRIES - 1:
                    self._blame(path, error)
            else:
                if stated is not None and metadata.num_rows != stated:
                    self.faults.append(f"file {path}: holds {metadata.num_rows} rows, the log says {stated}")
                return

    def _blame(self, path: str, fault: Exception) -> None:
        """Names and leaves out a file that cannot be read though the store answers."""
        try:
            missing = self._filesystem.get_file_info([path])[0].type == pa.fs.FileType.NotFound
        except _READ_FAULTS as error:
            raise TransientError(f"{self.uri}: {error}", "see `make status` and `make logs S=minio`") from error
        self.faults.append(f"file {path}: " + ("is missing" if missing else f"is damaged: {_line(fault)}"))
        del self._fragments[path]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
