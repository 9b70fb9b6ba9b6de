"""Decodes Avro with schema ids."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from fastavro.types import Schema

from sluice.contracts.values import ContractViolationError
from sluice.registry import avro, wire_format
from sluice.registry.client import Reference, RegisteredSchema, SchemaNotFoundError

_MAX_SCHEMAS = 1_000
_RETRY_UNKNOWN_SECONDS = 30.0


class Schemas(Protocol):
    """The calls of a registry that a decoder needs."""

    def schema(self, schema_id: int) -> RegisteredSchema: ...

    def referred(self, reference: Reference) -> RegisteredSchema: ...


class AvroDecoder:
    """Reads events with the schemas of a registry, each of which is requested once."""

    def __init__(self, registry: Schemas, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._schemas: OrderedDict[int, tuple[Schema | ContractViolationError, float]] = OrderedDict()
        """By id: the schema, or why there is none, and until when."""

    def __call__(self, value: bytes) -> bytes:
        """Returns the event as JSON; see ``sluice.registry.Decoder``."""
        schema_id, body = wire_format.split(value)
        schema = self._schema(schema_id)
        if isinstance(schema, ContractViolationError):
            raise ContractViolationError(str(schema))
        return avro.read(schema, body)

    def _schema(self, schema_id: int) -> Schema | ContractViolationError:
        with self._lock:
            schema, expires = self._schemas.get(schema_id, (None, 0.0))
            if schema is None or self._clock() >= expires:
                schema = self._request(schema_id)
                unknown = isinstance(schema, ContractViolationError)
                self._schemas[schema_id] = schema, self._clock() + _RETRY_UNKNOWN_SECONDS if unknown else float("inf")
            self._schemas.move_to_end(schema_id)
            if len(self._schemas) > _MAX_SCHEMAS:
                self._schemas.popitem(last=False)
        return schema

    def _request(self, schema_id: int) -> Schema | ContractViolationError:
        try:
            return avro.parse_schema(self._registry.schema(schema_id), self._registry.referred)[0]
        except SchemaNotFoundError:
            return ContractViolationError(f"expected the id of a registered schema, found {schema_id}")
        except ContractViolationError as violation:
            return ContractViolationError(f"schema {schema_id}: {violation}")
