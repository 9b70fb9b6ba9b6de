"""AsyncAPI 3: a stream as an application's interface: the topic, its events, and that the platform receives them."""

from typing import Any

from sluice.contracts.model import Column, Contract
from sluice.contracts.standards.avro import to_avro
from sluice.contracts.standards.json_schema import to_json_schema

_BINDING = "0.5.0"
"""The version of the Kafka bindings."""
_AVRO = "application/vnd.apache.avro;version=1.9.0"


def to_asyncapi(contract: Contract) -> dict[str, Any]:
    """Returns the document of a stream. Its message has the schema that ``to_json_schema`` or ``to_avro`` returns.

    Raises:
        TerminalError: as ``to_avro``, if the contract's format is ``avro``.
    """
    name = contract.table
    topic = {"cleanup.policy": ["delete"], "retention.ms": -1, "retention.bytes": contract.topic.retention_bytes}
    channel = {
        "address": contract.topic_name,
        "description": contract.description,
        "messages": {"event": {"$ref": "#/components/messages/event"}},
        "bindings": {
            "kafka": {
                "topic": contract.topic_name,
                "partitions": contract.topic.partitions,
                "topicConfiguration": topic,
                "bindingVersion": _BINDING,
            }
        },
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": contract.stream,
            "version": "1.0.0",
            "description": contract.description,
            "contact": {"name": contract.owner},
        },
        "channels": {name: channel},
        "operations": {f"load_{name}": {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}},
        "components": {"messages": {"event": _message(contract)}},
    }


def _message(contract: Contract) -> dict[str, Any]:
    is_avro = contract.format == "avro"
    kafka: dict[str, Any] = {"bindingVersion": _BINDING}
    if key := contract.column(contract.key or ""):
        kafka["key"] = _key(key)
    if contract.format != "json":
        kafka |= {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
    schema = to_json_schema(contract)
    # The default format of a payload is JSON Schema without a dialect.
    del schema["$schema"]
    return {
        "name": contract.stream,
        "contentType": "application/vnd.apache.avro" if is_avro else "application/json",
        "payload": {"schemaFormat": _AVRO, "schema": to_avro(contract)} if is_avro else schema,
        "bindings": {"kafka": kafka},
    }


def _key(column: Column) -> dict[str, Any]:
    """Returns the schema of a record's key: the column's value as text."""
    length = {"maxLength": column.max_length} if column.max_length else {}
    return {"type": "string", "description": column.description, **length}
