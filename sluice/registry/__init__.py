"""Events with a schema id: Confluent's wire format, read with schemas from a schema registry.

Contracts with ``format: avro`` or ``format: json-registry`` use it. Their values become JSON, which all else reads.
"""

from collections.abc import Callable

from sluice.contracts import Contract
from sluice.contracts.values import ContractViolationError
from sluice.errors import SluiceError
from sluice.registry import wire_format
from sluice.settings import Settings

Decoder = Callable[[bytes], bytes]
"""Returns a value's event as JSON, from any thread.

It raises a ContractViolationError for a value that is not such an event, or whose schema the registry does not know; a
TransientError if the registry is down; a TerminalError if it denies access.
"""


def decoder(contract: Contract, settings: Settings) -> Decoder | None:
    """Returns the function that decodes a value of the contract's stream; None if the values are JSON already.

    Raises:
        TerminalError: the format is ``avro``, and the settings name no registry.
    """
    match contract.format:
        case "avro":
            # Imported here: most streams need neither Avro nor a client of a registry.
            from sluice.registry.avro_decoder import AvroDecoder
            from sluice.registry.client import SchemaRegistry

            return AvroDecoder(SchemaRegistry(settings))
        case "json-registry":
            # The contract says what the event has to be: its schema is not needed.
            return lambda value: wire_format.split(value)[1]
    return None


def decode_or_reason(decode: Decoder, value: bytes) -> tuple[bytes, str]:
    """Returns a value's event as JSON and "", or no bytes and the reason why it cannot be decoded.

    Raises:
        TransientError, TerminalError: the registry is down or denies access.
    """
    try:
        return decode(value), ""
    except ContractViolationError as violation:
        return b"", str(violation)
    except (SluiceError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - one record must not stop its stream; the reason names the class.
        return b"", f"cannot be read: {type(error).__name__}"
