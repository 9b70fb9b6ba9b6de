"""A contract as the document that its YAML file holds: only what it says itself, without defaults."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import yaml

from sluice.contracts.model import Contract

Document = dict[str, Any]
_UNITS = (("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))
_WIDTH = 100


def to_document(contract: Contract) -> Document:
    """Returns what a contract's file says, in the values that JSON has: ``to_contract`` gets the contract back."""
    document: Document = _plain(contract.model_dump(by_alias=True, exclude_defaults=True))
    for holder, key in ((document, "id"), *((column, "from") for column in document["columns"])):
        if key in holder and len(holder[key]) == 1:
            (holder[key],) = holder[key]
    return document


def to_contract(document: Document) -> Contract:
    """Returns the contract of a document; raises pydantic's ValidationError if it is not one."""
    return Contract.model_validate(_with_dates(document))


def to_yaml(document: Document) -> str:
    """Returns a document as the content of a contract's file."""
    return yaml.dump(_with_dates(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def residual(document: Document, read: Mapping[str, Any]) -> Document:
    """Returns what to add to what was read from a standard's own terms; None for a key that must not be there."""
    keys = dict.fromkeys((*document, *read))
    return {key: document.get(key) for key in keys if document.get(key) != read.get(key)}


def complete(read: Mapping[str, Any], custom: Mapping[str, Any]) -> Document:
    """Returns the document that ``residual`` was made from."""
    return {key: value for key, value in {**read, **custom}.items() if value is not None}


def _with_dates(document: Document) -> Document:
    """Returns a document with the dates of its history as dates, as YAML reads them."""
    history = document.get("history")
    if not isinstance(history, dict):
        return document
    return {**document, "history": {end: date.fromisoformat(str(value)) for end, value in history.items()}}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case timedelta():
            return _duration(value)
        case date():
            return value.isoformat()
    return value


def _duration(duration: timedelta) -> str:
    unit, length = next(pair for pair in _UNITS if not duration % pair[1])
    return f"{duration // length}{unit}"


class _Dumper(yaml.SafeDumper):
    """Writes YAML that contracts allow: no anchors, and quotes around a text that looks like a number."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    plain = text[:1].isalpha() and text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if plain else '"')


_Dumper.add_representer(str, _text)
