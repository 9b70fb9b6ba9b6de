"""Decodes a batch's values into JSON, for streams whose contract has a format with schema ids."""

import numpy as np
import pyarrow as pa

from sluice.registry import Decoder, decode_or_reason, wire_format


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


def decode_keys(decode: Decoder, rows: pa.Table) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Returns the keys with those of records without a value as JSON, and the reasons why some cannot be decoded.

    A key in another form than Confluent's wire format, such as a text, stays: keys may have serializers of their own.

    Args:
        decode: decodes one key.
        rows: key and value (binary), both of which may be null.

    Raises:
        TransientError, TerminalError: as ``decode``.
    """
    keys = rows["key"].to_pylist()
    reasons: dict[int, str] = {}
    for index in np.flatnonzero(rows["value"].is_null()).tolist():
        key = keys[index]
        if key is not None and wire_format.is_framed(key):
            keys[index], reason = decode_or_reason(decode, key)
            if reason:
                reasons[index] = f"no value, and a key that cannot be decoded: {reason}"
    return pa.chunked_array([pa.array(keys, rows["key"].type)]), reasons
