"""What a failed call to the lake means, as an error that says whether a retry helps."""

import re

from sluice.errors import SluiceError, TerminalError, TransientError

_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "Forbidden")
_DAMAGED = ("decompression failed", "deserialize thrift", "Corrupt", "Unexpected end of stream")
"""What Arrow says of a file whose bytes are not what was written, as an OSError like that of a lost connection."""
_TREE = re.compile(r"\s*\x1b\[31m↳\x1b\[0m ")
"""How delta-rs sets off the cause of an error, for terminals."""


class NoTableError(TransientError):
    """A stream has no table in the lake yet."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri}: no such table yet", "the sink creates it when it starts: see `make logs S=sink`")


def store_fault(place: str, error: Exception) -> SluiceError:
    """What a failed call to the object store means, in one line."""
    text = _TREE.sub(": ", str(error))
    if any(sign in text for sign in _REFUSED):
        return TerminalError(
            f"{place}: the store refuses: {text}", "check the bucket and SLUICE_LAKE_… passwords; `make up` makes both"
        )
    if any(sign in text for sign in _DAMAGED):
        return TerminalError(
            f"{place}: a data file is damaged: {text}", "`make lake A=verify` names it; restore it from a copy"
        )
    return TransientError(f"{place}: {text}", "see `make status` and `make logs S=minio`")
