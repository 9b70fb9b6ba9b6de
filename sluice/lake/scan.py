"""Scans all rows of a table; a file that cannot be read is reported and skipped."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from sluice.errors import TransientError

_READ_ERRORS = (OSError, pa.ArrowException)
_MAX_ATTEMPTS = 3
_BATCH_ROWS = 32_768
_BUFFER_BYTES = 1 << 20


class TableScan:
    """The files of one version of a table. ``faults`` lists the files that could not be read, and why."""

    def __init__(self, table: DeltaTable) -> None:
        self.uri = table.table_uri
        dataset = table.to_pyarrow_dataset()
        self._filesystem = dataset.filesystem
        self._fragments = {fragment.path: fragment for fragment in dataset.get_fragments()}
        self.files = len(self._fragments)
        self.faults: list[str] = []
        actions = pa.table(table.get_add_actions(flatten=True))
        row_counts = dict(zip(actions["path"].to_pylist(), actions["num_records"].to_pylist(), strict=True))
        for path in list(self._fragments):
            self._check_footer(path, row_counts.get(path))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yields all rows in date order, reading each file once. A file that fails midway is reported and cut short.

        Raises:
            TransientError: the store is down.
        """
        for path in sorted(self._fragments):
            yielded = attempts = 0
            while True:
                try:
                    with self._filesystem.open_input_file(path) as source:
                        # Page by page, because a row group can be larger than memory.
                        file = pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)
                        for number, batch in enumerate(file.iter_batches(_BATCH_ROWS, columns=list(columns))):
                            if number == yielded:
                                yielded += 1
                                attempts = 0
                                yield batch
                    break
                except _READ_ERRORS as error:
                    attempts += 1
                    if attempts == _MAX_ATTEMPTS:
                        self._exclude(path, error)
                        break

    def _check_footer(self, path: str, expected_rows: int | None) -> None:
        """Reads a file's footer and compares its row count with the log's."""
        for attempt in range(_MAX_ATTEMPTS):
            try:
                metadata = self._fragments[path].metadata
            except _READ_ERRORS as error:
                if attempt == _MAX_ATTEMPTS - 1:
                    self._exclude(path, error)
            else:
                if expected_rows is not None and metadata.num_rows != expected_rows:
                    self.faults.append(
                        f"file {path}: has {metadata.num_rows} rows, expected {expected_rows} from the log"
                    )
                return

    def _exclude(self, path: str, read_error: Exception) -> None:
        """Reports and skips a file that cannot be read although the store is up."""
        try:
            missing = self._filesystem.get_file_info([path])[0].type == pa.fs.FileType.NotFound
        except _READ_ERRORS as error:
            raise TransientError(f"{self.uri}: {error}", "run `make status` and `make logs S=minio`") from error
        self.faults.append(f"file {path}: " + ("is missing" if missing else f"is corrupt: {_one_line(read_error)}"))
        del self._fragments[path]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
