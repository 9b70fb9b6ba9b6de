"""The tables of ``docs/reference/contracts.md``: every key of a contract, from the model and its docstrings.

``python docs/contract_tables.py`` writes them into the page; a test compares the page with them.
"""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.contracts import model

PAGE = Path(__file__).parent / "reference" / "contracts.md"
MODELS: dict[type[BaseModel], str] = {
    model.Contract: "",
    model.Topic: "topic.",
    model.Load: "load.",
    model.History: "history.",
    model.Column: "",
    model.Years: "years.",
}
"""The classes of the model, and the prefix of their keys."""
EXAMPLES = {
    "Contract.stream": "quakes.reported",
    "Contract.description": "An earthquake was located, or its figures were revised.",
    "Contract.owner": "seismology",
    "Contract.topic": "{partitions: 4, retention_bytes: 1073741824}",
    "Contract.format": "avro",
    "Contract.key": "code",
    "Contract.id": "[net, code]",
    "Contract.keep": "last",
    "Contract.deletes": "tombstone",
    "Contract.event_time": "occurred_at",
    "Contract.lateness": "48h",
    "Contract.load": '{schedule: "*/2 * * * *"}',
    "Contract.history": "{first: 2013-01-01, last: 2014-01-01}",
    "Contract.columns": "[{name: code, type: string, description: Id of the event.}]",
    "Topic.name": "usgs-quakes",
    "Topic.partitions": "4",
    "Topic.retention_bytes": "1073741824",
    "Load.schedule": '"*/2 * * * *"',
    "Load.overdue": "10m",
    "History.first": "2013-01-01",
    "History.last": "2014-01-01",
    "Column.name": "magnitude",
    "Column.type": "decimal(5, 2)",
    "Column.from": "[properties.mag, mag]",
    "Column.nullable": "false",
    "Column.unit": "degrees",
    "Column.minimum": "-90",
    "Column.maximum": "90",
    "Column.min_length": "1",
    "Column.max_length": "40",
    "Column.pattern": '"[a-z]{2}"',
    "Column.enum": "[automatic, reviewed]",
    "Column.format": "epoch_ms",
    "Column.zone": "Europe/Vienna",
    "Column.years": "{first: 1970, last: 2099}",
    "Column.description": "Magnitude of the event.",
    "Years.first": "1970",
    "Years.last": "2099",
}
"""A value of each key, as YAML."""


def tables() -> dict[str, str]:
    """Returns a Markdown table per class of the model, by the class's name."""
    return {owner.__name__: _table(owner, prefix) for owner, prefix in MODELS.items()}


def insert(text: str) -> str:
    """Returns a page with its tables between the comments ``fields of <class>`` and ``end of fields`` replaced."""
    for name, table in tables().items():
        pattern = rf"(<!-- fields of {name} -->\n).*?(<!-- end of fields -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}\n{table}\n{match[2]}", text, flags=re.DOTALL)
    return text


def _table(owner: type[BaseModel], prefix: str) -> str:
    texts = _docstrings(owner)
    lines = ["| key | example | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in owner.model_fields.items():
        key = field.alias or name
        example = EXAMPLES[f"{owner.__name__}.{key}"]
        lines.append(f"| `{prefix}{key}` | `{example}` | {_default(field)} | {texts[name]} |")
    return "\n".join(lines) + "\n"


def _docstrings(owner: type[BaseModel]) -> dict[str, str]:
    """Returns the text below each field of a class, on one line and in Markdown."""
    (definition,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), field.target.id
            texts[field.target.id] = " ".join(str(text.value.value).replace("``", "`").replace("|", "\\|").split())
    return texts


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.default
    if default is None:
        return ""
    if hasattr(default, "total_seconds"):
        return f"`{default.total_seconds() / 60:.0f}m`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
