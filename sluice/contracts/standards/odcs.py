"""The Open Data Contract Standard (ODCS), version 3: a contract as one of its documents, and back."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from sluice.contracts.inference.roles import EVENT_ID
from sluice.contracts.model import Column, Contract
from sluice.contracts.paths import Path, format_path, parse_path
from sluice.contracts.standards.document import Document, complete, residual, to_document
from sluice.contracts.standards.imported import Field, Imported, assemble, can_identify, is_stream, named
from sluice.contracts.standards.patterns import to_search, to_whole
from sluice.contracts.standards.sql_types import from_sql
from sluice.contracts.types import NUMERIC_TYPES, DataType, parse_type
from sluice.errors import TerminalError

Odcs = dict[str, Any]
API_VERSION = "v3.1.0"
_CUSTOM = "sluice"
"""The prefix of custom properties."""
_LOGICAL = {
    **{kind: kind for kind in ("string", "boolean", "date", "time", "timestamp", "array")},
    **dict.fromkeys(("int32", "int64"), "integer"),
    **dict.fromkeys(("float64", "decimal"), "number"),
    "uuid": "string",
    # ODCS has no type for any value.
    "json": "object",
}
"""The logical type of each kind of type."""
_FORMATS = {"int32": "i32", "int64": "i64", "float64": "f64", "uuid": "uuid"}
_TYPES = {
    **{kind: kind for kind in ("string", "boolean", "date", "time", "timestamp")},
    "integer": "int64",
    "number": "float64",
}
"""The type of each logical type without a format."""
_OPTIONS = {"minLength": "min_length", "maxLength": "max_length", "minimum": "minimum", "maximum": "maximum"}
_LIMITS = (*_OPTIONS.values(), "zone")
_UNITS = {
    **dict.fromkeys(("m", "min", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
"""The units of a latency, and those of a contract's durations."""
_HOUR = timedelta(hours=1)


def to_odcs(contract: Contract) -> Odcs:
    """Returns a contract as a document of ODCS, with what it has no term for in custom properties ``sluice…``."""
    document = to_document(contract)
    columns = {column["name"]: column for column in document.pop("columns")}
    odcs: Odcs = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.stream,
        "name": contract.stream,
        "version": "1.0.0",
        "status": "active",
        "description": {"purpose": contract.description},
        "team": {"name": contract.owner},
        "schema": [
            {
                "name": contract.stream,
                "physicalName": contract.topic_name,
                "physicalType": "topic",
                "logicalType": "object",
                "properties": [_property(contract, column, columns[column.name]) for column in contract.columns],
            }
        ],
        "slaProperties": list(_agreements(contract)),
    }
    if custom := _custom(residual(document, _contract_of(odcs, odcs["schema"][0]))):
        odcs["customProperties"] = custom
    return odcs


def from_odcs(odcs: Mapping[str, Any], stream: str | None) -> Imported:
    """Returns the contract of a document. For ``stream`` and errors, see ``assemble``.

    Raises:
        TerminalError: it is of another version, or has no schema.
    """
    version = str(odcs.get("apiVersion"))
    if not version.startswith("v3."):
        raise TerminalError(f"expected ODCS of version 3, found {version}", "convert it to version 3 first")
    schemas = odcs.get("schema") or []
    if not schemas:
        raise TerminalError("the file has no schema", "add one: a contract needs columns")
    notes = [f"schema {other.get('name')}: not taken over: a contract has one" for other in schemas[1:]]
    notes += [f"{key}: not taken over" for key in odcs if key not in _READ]
    extensions = _extensions(odcs)
    fields = list(_fields(schemas[0].get("properties") or (), (), True, notes))
    labels, fields = [item.label for item in fields], named(fields)
    names = {label: item.column["name"] for label, item in zip(labels, fields, strict=True) if label}
    read = _renamed(_contract_of(odcs, schemas[0]), names)
    types = {item.column["name"]: item.column["type"] for item in fields}
    if schemas[0].get("physicalType") != "topic" and types.get(read.get("key")) in ("date", "timestamp"):
        notes.append(f"partitioned: {read.pop('key')} is a time, as tables have it: not taken over as key")
    # What a custom property says was a contract's: there, an error is one.
    terms = {key: term for key, term in _TERMS.items() if key in read and key not in extensions}
    return assemble(complete(read, extensions), fields, stream, notes, terms)


_TERMS = {
    "lateness": "latency",
    "event_time": "latency's element",
    "id": "primaryKey",
    "key": "partitioned",
    "load": "frequency",
    "topic": "physicalName",
}
"""Keys that other tools' documents may have terms for that no contract can hold, and the terms."""


def _renamed(read: Document, names: Mapping[str, str]) -> Document:
    """Returns a contract's keys with the names of columns in place of those that no column can have."""
    identity = read.get("id")
    if isinstance(identity, list):
        read = {**read, "id": [names.get(name, name) for name in identity]}
    roles = {key: names.get(str(read[key]), read[key]) for key in ("id", "key", "event_time") if key in read}
    return {**read, **{key: name for key, name in roles.items() if isinstance(name, str)}}


_READ = (
    *("apiVersion", "kind", "id", "name", "version", "status", "description", "team", "schema", "slaProperties"),
    *("customProperties", "contractCreatedTs", "domain", "dataProduct", "tenant", "tags", "authoritativeDefinitions"),
)
"""Keys that are taken over, or that say nothing about events."""


def _agreements(contract: Contract) -> Iterator[Odcs]:
    latency: Odcs = {"property": "latency", "value": contract.lateness // _HOUR, "unit": "h"}
    if contract.lateness % _HOUR:
        latency |= {"value": contract.lateness // timedelta(minutes=1), "unit": "m"}
    if not contract.happens_at_record:
        latency["element"] = f"{contract.stream}.{contract.event_time}"
    yield latency
    schedule = contract.load.schedule
    yield {"property": "frequency", "value": schedule, "scheduler": "cron", "schedule": schedule}


def _contract_of(odcs: Mapping[str, Any], schema: Mapping[str, Any]) -> Document:
    """Returns the keys of a contract that ODCS has terms for."""
    read: Document = {}
    name = odcs.get("name") or schema.get("name") or ""
    if is_stream(str(name)):
        read["stream"] = name
    description, team = odcs.get("description"), odcs.get("team")
    if text := schema.get("description") or (isinstance(description, Mapping) and description.get("purpose")):
        read["description"] = text
    if isinstance(team, Mapping) and team.get("name"):
        read["owner"] = team["name"]
    if schema.get("physicalType") == "topic" and schema.get("physicalName", name) != name:
        read["topic"] = {"name": schema["physicalName"]}
    properties = schema.get("properties") or ()
    if names := _positions(properties, "primaryKey"):
        # The default, if there is such a column.
        read |= {"id": names[0] if len(names) == 1 else names} if names != ["event_id"] else {}
    if names := _positions(properties, "partitioned", "partitionKey"):
        read["key"] = names[0]
    for agreement in odcs.get("slaProperties") or ():
        read |= _agreement(agreement)
    return read


def _agreement(agreement: Mapping[str, Any]) -> Document:
    read: Document = {}
    value, unit = agreement.get("value"), _UNITS.get(str(agreement.get("unit")).lower())
    if agreement.get("property") == "latency" and unit and isinstance(value, int):
        read["lateness"] = f"{value}{unit}"
        if element := agreement.get("element"):
            read["event_time"] = str(element).rpartition(".")[2]
    if agreement.get("property") == "frequency" and agreement.get("scheduler") == "cron" and agreement.get("schedule"):
        read["load"] = {"schedule": agreement["schedule"]}
    return read


def _positions(properties: Any, flag: str, prefix: str | None = None) -> list[str]:
    """Returns the names of the properties with a flag, in the order of their positions."""
    flagged = [item for item in properties if item.get(flag)]
    return [item["name"] for item in sorted(flagged, key=lambda item: item.get(f"{prefix or flag}Position", 0))]


def _property(contract: Contract, column: Column, document: Document) -> Odcs:
    item: Odcs = {"name": column.name, **_type(column.data_type), "description": column.description}
    if not column.nullable:
        item["required"] = True
    if len(column.paths) == 1 and column.sources:
        item["physicalName"] = column.sources[0]
    if column.name in contract.id_columns:
        item |= {"primaryKey": True, "primaryKeyPosition": contract.id_columns.index(column.name) + 1}
    if column.name == contract.key:
        item |= {"partitioned": True, "partitionKeyPosition": 1}
    options = {option: document[key] for option, key in _OPTIONS.items() if key in document}
    if column.pattern:
        options["pattern"] = to_search(column.pattern)
    if column.zone:
        options["defaultTimezone"] = column.zone
    if options:
        item["logicalTypeOptions"] = {**item.get("logicalTypeOptions", {}), **options}
    if column.enum:
        values = {"metric": "invalidValues", "arguments": {"validValues": list(column.enum)}, "mustBe": 0}
        item["quality"] = [values]
    if custom := _custom(residual(document, column_of(item))):
        item["customProperties"] = custom
    return item


def _type(data_type: DataType) -> Odcs:
    item: Odcs = {"logicalType": _LOGICAL[data_type.kind]}
    if format_name := _FORMATS.get(data_type.kind):
        item["logicalTypeOptions"] = {"format": format_name}
    if data_type.item:
        item["items"] = _type(data_type.item)
    # Only where the logical type does not say enough: tools take a physical type for one of a database.
    return item if _type_of(item) == str(data_type) else {**item, "physicalType": str(data_type)}


def _fields(properties: Any, path: Path, required: bool, notes: list[str]) -> Iterator[Field]:
    for item in properties:
        place, is_required = _path(item, path), required and bool(item.get("required"))
        if inner := item.get("properties"):
            yield from _fields(inner, place, is_required, notes)
            continue
        extensions = _extensions(item)
        column = _without_impossible_limits(column_of(item), extensions)
        if not is_required:
            column.pop("nullable", None)
        label = "" if path or _is_column(column) else str(item["name"])
        if path or label:
            # A nested property's name does not name the column alone, and another one is not a column's.
            del column["name"]
            column.pop("from", None)
        yield Field(place, complete(column, extensions), label)
        notes += [f"{format_path(place)}: {problem}: not taken over" for problem in _not_taken_over(item, column)]


def _is_column(column: Document) -> bool:
    """Returns whether a column can have the name that the file has for it."""
    if column["name"] == EVENT_ID and not can_identify(column):
        return False
    return _is_valid({"name": column["name"], "type": "json"})


def _is_valid(column: Document) -> bool:
    try:
        Column.model_validate({"name": "any", "description": "-", **column})
    except ValidationError:
        return False
    return True


def _without_impossible_limits(column: Document, extensions: Document) -> Document:
    """Returns a column's keys without the limits that no contract can hold, such as a fraction for an integer."""
    limits: Document = {}
    for key in _LIMITS:
        attempt = {**limits, key: column.get(key)}
        if key in column and (key in extensions or _is_valid({"type": column["type"], **attempt})):
            limits = attempt
    return {key: value for key, value in column.items() if key not in _LIMITS or key in limits}


def _path(item: Mapping[str, Any], parent: Path) -> Path:
    try:
        return (*parent, *parse_path(str(item.get("physicalName") or item["name"])))
    except ValueError:
        return (*parent, str(item["name"]))


def column_of(item: Mapping[str, Any]) -> Document:
    """Returns the keys of a column that ODCS has terms for."""
    name = item["name"]
    kind = _type_of(item)
    read: Document = {"name": name, "type": kind}
    if physical := item.get("physicalName"):
        read["from"] = physical
    if item.get("required"):
        read["nullable"] = False
    if item.get("description"):
        read["description"] = item["description"]
    options = item.get("logicalTypeOptions") or {}
    limits = ("minimum", "maximum") if kind.startswith(NUMERIC_TYPES) else ("minLength", "maxLength")
    if kind == "string" or limits[0] == "minimum":
        read |= {_OPTIONS[option]: options[option] for option in limits if option in options}
    if kind == "string":
        if "pattern" in options and (pattern := to_whole(options["pattern"])) is not None:
            read["pattern"] = pattern
        if texts := _valid_values(item):
            read["enum"] = texts
    if kind == "timestamp" and "defaultTimezone" in options:
        read["zone"] = options["defaultTimezone"]
    return read


def _type_of(item: Mapping[str, Any]) -> str:
    """Returns the type that a property's physical type names, otherwise the one of its logical type.

    A database's type counts where the logical type does not say enough: digits of decimals, or if there is none.
    """
    physical = str(item.get("physicalType"))
    try:
        return str(parse_type(physical))
    except ValueError:
        pass
    logical, options = str(item.get("logicalType")), item.get("logicalTypeOptions") or {}
    format_name = options.get("format")
    if (known := from_sql(physical)) and ("logicalType" not in item or (logical == "number" and not format_name)):
        return known
    if logical == "array" and item.get("items"):
        inner = _type_of(item["items"])
        return f"array({inner})" if inner != "json" and not inner.startswith("array") else "json"
    named = {_FORMATS[kind]: kind for kind in _FORMATS if _LOGICAL[kind] == logical}
    return named.get(str(format_name), _TYPES.get(logical, "json"))


def _valid_values(item: Mapping[str, Any]) -> list[str]:
    for rule in item.get("quality") or ():
        values = (rule.get("arguments") or {}).get("validValues")
        if rule.get("metric") == "invalidValues" and rule.get("mustBe") == 0 and isinstance(values, list):
            return [value for value in values if isinstance(value, str)]
    return []


def _not_taken_over(item: Mapping[str, Any], column: Document) -> Iterator[str]:
    """Yields what limits the valid values of a property and that the contract does not have."""
    options = item.get("logicalTypeOptions") or {}
    taken = {*_OPTIONS, "pattern", "defaultTimezone", "format", "timezone"}
    yield from (f"logicalTypeOptions.{option}" for option in options if option not in taken)
    yield from (option for option in _OPTIONS if option in options and _OPTIONS[option] not in column)
    for option, key in (("pattern", "pattern"), ("defaultTimezone", "zone")):
        if option in options and key not in column:
            yield option
    yield from ("quality" for rule in item.get("quality") or () if rule.get("metric") != "invalidValues")
    if item.get("unique"):
        yield "unique"


def _custom(document: Document) -> list[Odcs]:
    return [{"property": _camel_case(key), "value": value} for key, value in document.items()]


def _extensions(holder: Mapping[str, Any]) -> Document:
    properties = {str(item.get("property")): item.get("value") for item in holder.get("customProperties") or ()}
    return {key: properties[_camel_case(key)] for key in _KEYS if _camel_case(key) in properties}


_KEYS = tuple(field.alias or name for model in (Contract, Column) for name, field in model.model_fields.items())


def _camel_case(key: str) -> str:
    return _CUSTOM + "".join(word.capitalize() for word in key.split("_"))
