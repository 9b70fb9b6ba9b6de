"""Decodes a batch's values into JSON, for streams whose contract has a format with schema ids."""

import pyarrow as pa

from sluice.contracts.values import ContractViolationError
from sluice.errors import SluiceError
from sluice.registry import Decoder

_UNREADABLE = b""


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
        try:
            decoded.append(decode(value.as_py()) if value.is_valid else None)
            continue
        except ContractViolationError as violation:
            reasons[index] = str(violation)
        except (SluiceError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - one record must not stop its stream; the reason names the class.
            reasons[index] = f"cannot be read: {type(error).__name__}"
        decoded.append(_UNREADABLE)
    return pa.chunked_array([pa.array(decoded, values.type)]), reasons
