"""Events with a schema id: Confluent's wire format, read with schemas from a schema registry.

Contracts with ``format: avro`` or ``format: json-registry`` use it.
"""

from sluice.registry.client import RegisteredSchema, SchemaRegistry
from sluice.registry.compatibility import check_compatibility
from sluice.registry.decoder import Decoder, decoder

__all__ = ["Decoder", "RegisteredSchema", "SchemaRegistry", "check_compatibility", "decoder"]
