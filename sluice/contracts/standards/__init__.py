"""Contracts in the forms that other tools read and write: ODCS, JSON Schema, Avro and AsyncAPI."""

import json
from collections.abc import Callable
from typing import Any

import yaml

from sluice.contracts.model import Contract
from sluice.contracts.standards.asyncapi import to_asyncapi
from sluice.contracts.standards.avro import to_avro
from sluice.contracts.standards.document import to_yaml
from sluice.contracts.standards.imported import Imported
from sluice.contracts.standards.json_schema import to_json_schema
from sluice.contracts.standards.json_schema_import import from_json_schema
from sluice.contracts.standards.odcs import from_odcs, to_odcs
from sluice.errors import TerminalError
from sluice.escaping import escape_json


def _to_json(document: Any) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "".join(f"{escape_json(line)}\n" for line in text.split("\n"))


_EXPORTS: dict[str, tuple[Callable[[Contract], dict[str, Any]], Callable[[Any], str]]] = {
    "odcs": (to_odcs, to_yaml),
    "json-schema": (to_json_schema, _to_json),
    "avro": (to_avro, _to_json),
    "asyncapi": (to_asyncapi, to_yaml),
}
FORMATS = tuple(_EXPORTS)
"""The standards that a contract can be exported to."""


def export_contract(contract: Contract, format_name: str) -> str:
    """Returns a contract as a document of a standard, one of ``FORMATS``: JSON or YAML, as is usual for it.

    Raises:
        TerminalError: the standard cannot say what the contract says.
    """
    convert, write = _EXPORTS[format_name]
    return write(convert(contract))


def import_contract(text: str, stream: str | None) -> Imported:
    """Returns the contract that a document of ODCS 3 or JSON Schema describes.

    Args:
        text: the document, JSON or YAML.
        stream: the stream's name, if it is not the document's.

    Raises:
        TerminalError: it is neither, is damaged, or has no name for the stream.
    """
    try:
        document = yaml.safe_load(text) if not text.lstrip().startswith("{") else json.loads(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TerminalError(f"not a JSON or YAML file: {' '.join(str(error).split())}", "correct the file") from None
    if not isinstance(document, dict):
        raise TerminalError("expected an ODCS contract or a JSON Schema, found something else", "give another file")
    is_odcs = document.get("kind") == "DataContract"
    if not is_odcs and not document.keys() & {"$schema", "properties", "allOf", "$ref"}:
        raise TerminalError(
            "neither an ODCS contract (kind: DataContract) nor a JSON Schema of an object", "give another file"
        )
    try:
        return (from_odcs if is_odcs else from_json_schema)(document, stream)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        standard = "ODCS" if is_odcs else "JSON Schema"
        raise TerminalError(
            f"the file is not valid by {standard}: {type(error).__name__}: {error}",
            f"validate it with a tool for {standard}",
        ) from None
