"""Turns failed calls to the lake into errors that state whether a retry helps."""

import re

from sluice.errors import SluiceError, TerminalError, TransientError

_REJECTED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "Forbidden")
_CORRUPT = ("decompression failed", "deserialize thrift", "Corrupt", "Unexpected end of stream")
"""Messages with which Arrow reports a corrupt file. It raises the same OSError for a lost connection."""
_CAUSE_ARROW = re.compile(r"\s*\x1b\[31m↳\x1b\[0m ")
"""How delta-rs formats the cause of an error for terminals."""


class NoTableError(TransientError):
    """The stream has no table in the lake yet."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri}: the table does not exist yet", "run `make logs S=sink`; the sink creates the table when it starts"
        )


def corrupt_error(uri: str, path: str, error: Exception) -> TerminalError:
    """Returns the error of a data file that was read from the store, but is not valid."""
    return TerminalError(f"{uri}: the file {path} is corrupt: {error}", "restore it from a backup")


def store_error(uri: str, error: Exception) -> SluiceError:
    """Returns the error of a failed call to the object store, as one line that names the table."""
    text = _CAUSE_ARROW.sub(": ", str(error))
    if any(code in text for code in _REJECTED):
        return TerminalError(
            f"{uri}: the store rejected the request: {text}",
            "check SLUICE_LAKE_BUCKET and the SLUICE_LAKE_… passwords; `make up` creates the bucket and its users",
        )
    if any(code in text for code in _CORRUPT):
        return TerminalError(
            f"{uri}: a data file is corrupt: {text}",
            "run `make lake A=verify` to find it, and restore it from a backup",
        )
    if "invalid peer certificate" in text:
        return TerminalError(f"{uri}: {text}", "check SLUICE_S3_CA_FILE and the host in SLUICE_S3_ENDPOINT")
    return TransientError(f"{uri}: {text}", "run `make status` and `make logs S=minio`")
