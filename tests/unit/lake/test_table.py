"""Errors of the object store are classified as transient or terminal; snapshots stay small."""

from pathlib import Path

import pytest

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lake import table
from sluice.lake.chunk import Chunk, record_columns
from sluice.lake.errors import store_error
from sluice.lake.table import LakeTable


@pytest.mark.parametrize(
    ("message", "expected_type"),
    [
        ("Generic S3 error: error sending request: connection refused", TransientError),
        ("Generic S3 error: Server returned non-2xx status code: 503 Service Unavailable", TransientError),
        ("Generic S3 error: Server returned non-2xx status code: 500 Internal Server Error", TransientError),
        ("operation timed out", TransientError),
        ("Client error with status 403 Forbidden: AccessDenied", TerminalError),
        ("InvalidAccessKeyId", TerminalError),
        ("NoSuchBucket", TerminalError),
        ("ZSTD decompression failed: Data corruption detected", TerminalError),
        ("Couldn't deserialize thrift: TProtocolException: Invalid data", TerminalError),
        ("Corrupt snappy compressed data.", TerminalError),
    ],
)
def test_a_store_error_is_transient_or_terminal(message: str, expected_type: type[SluiceError]) -> None:
    error = store_error("s3://lake/a.b", OSError(message))
    assert type(error) is expected_type
    assert message in str(error)
    assert "\n" not in str(error)


def test_terminal_formatting_is_removed_from_a_cause() -> None:
    message = "Generic S3 error\n     \x1b[31m↳\x1b[0m HTTP error\n      \x1b[31m↳\x1b[0m connection refused\n"
    assert str(store_error("s3://lake/a.b", OSError(message))).startswith(
        "s3://lake/a.b: Generic S3 error: HTTP error: connection refused"
    )


def test_a_snapshot_is_renewed_at_a_checkpoint_because_commits_read_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_CHECKPOINT_INTERVAL", 3)
    lake = LakeTable(str(tmp_path), {})
    lake.create()
    snapshots = [lake.open()]
    for offset in range(7):
        rows = record_columns("topic", 0, range(offset, offset + 1), [0], [b"key"], [b"value"], [None])
        assert lake.append([Chunk("topic", 0, offset, offset + 1, rows)]).fenced == []
        snapshot = lake.open()
        if snapshot is not snapshots[-1]:
            snapshots.append(snapshot)
    assert len(snapshots) == 3
    assert lake.next_offset("topic", 0) == 7
