"""Faults of the object store: which of them can pass."""

import pytest

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.lake.table import store_fault


@pytest.mark.parametrize(
    ("words", "kind"),
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
def test_a_fault_says_whether_it_can_pass(words: str, kind: type[SluiceError]) -> None:
    fault = store_fault("s3://lake/a.b", OSError(words))
    assert type(fault) is kind
    assert words in str(fault)
    assert "\n" not in str(fault)
