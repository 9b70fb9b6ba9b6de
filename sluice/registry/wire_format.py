"""Confluent's wire format: a zero byte, the schema's id as four bytes (big-endian), and the event."""

from sluice.contracts.values import ContractViolationError

HEADER_BYTES = 5
_MAGIC = 0


def split(value: bytes) -> tuple[int, bytes]:
    """Returns the schema id and the event's own bytes.

    Raises:
        ContractViolationError: the value is not in Confluent's wire format.
    """
    if len(value) < HEADER_BYTES:
        raise ContractViolationError(f"not Confluent's wire format: expected at least 5 bytes, found {len(value)}")
    if value[0] != _MAGIC:
        raise ContractViolationError(f"not Confluent's wire format: expected the first byte 0, found {value[0]}")
    return int.from_bytes(value[1:HEADER_BYTES], "big"), value[HEADER_BYTES:]


def is_framed(content: bytes) -> bool:
    """Returns whether a record's value or key has the form of the wire format, which no text has."""
    return len(content) >= HEADER_BYTES and content[0] == _MAGIC


def join(schema_id: int, body: bytes) -> bytes:
    """Returns the value that ``split`` takes apart."""
    return bytes([_MAGIC]) + schema_id.to_bytes(HEADER_BYTES - 1, "big") + body
