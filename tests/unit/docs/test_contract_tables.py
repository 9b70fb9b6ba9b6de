"""The contract reference describes every key, with a valid example, as the model does."""

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from docs.contract_tables import EXAMPLES, MODELS, PAGE, insert
from sluice.contracts import read_contract


def test_the_page_has_the_tables_of_the_model() -> None:
    text = PAGE.read_text()
    assert insert(text) == text, "run `python docs/contract_tables.py`"
    assert all(f"<!-- fields of {owner.__name__} -->\n\n| key |" in text for owner in MODELS)


@pytest.mark.parametrize("owner", MODELS, ids=lambda owner: owner.__name__)
def test_every_example_is_valid(owner: type[BaseModel]) -> None:
    for name, field in owner.model_fields.items():
        example: Any = yaml.safe_load(EXAMPLES[f"{owner.__name__}.{field.alias or name}"])
        annotation: Any = field.annotation
        for part in field.metadata:
            annotation = Annotated[annotation, part]
        TypeAdapter(annotation).validate_python(example)


def test_the_contract_on_the_page_is_valid(tmp_path: Path) -> None:
    match = re.search(r"```yaml\n(stream: .*?)```", PAGE.read_text(), re.DOTALL)
    assert match
    file = tmp_path / "quakes.reported.yaml"
    file.write_text(match[1])
    assert read_contract(file).id_columns == ("code",)
