"""Decodes a batch's values into JSON, for streams whose contract has a format with schema ids."""

import pyarrow as pa

from sluice.registry import Decoder, decode_or_reason


def decode_values(decode: Decoder, values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Returns values as JSON, and the reasons for those that cannot be decoded, by position.

    Args:
        decode: decodes one value.
        values: binary, null allowed; nulls stay.

    Raises:
        TransientError, TerminalError: as ``decode``.
    """
    decoded: list[bytes | None] = []
    reasons: dict[int, str] = {}
    for index, value in enumerate(values):
        event, reason = decode_or_reason(decode, value.as_py()) if value.is_valid else (None, "")
        decoded.append(event)
        if reason:
            reasons[index] = reason
    return pa.chunked_array([pa.array(decoded, values.type)]), reasons
