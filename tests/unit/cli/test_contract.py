"""`contract export` and `contract import`: documents on stdout, everything else on stderr."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import build
from sluice.contracts import read_contract
from sluice.errors import TerminalError
from sluice.settings import ROOT

RUNNER = CliRunner()


def test_an_exported_contract_can_be_imported_and_is_the_same(tmp_path: Path) -> None:
    exported = RUNNER.invoke(build(), ["contract", "export", "flights.departed", "--format", "json-schema"])
    assert exported.exit_code == 0
    file = tmp_path / "schema.json"
    file.write_text(exported.stdout)
    assert json.loads(exported.stdout)["title"] == "flights.departed"
    imported = RUNNER.invoke(build(), ["contract", "import", str(file)])
    assert (imported.exit_code, imported.stderr) == (0, "")
    (tmp_path / "flights.departed.yaml").write_text(imported.stdout)
    original = read_contract(ROOT / "contracts" / "flights.departed.yaml")
    assert read_contract(tmp_path / "flights.departed.yaml") == original


def test_what_was_assumed_is_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"properties": {"a": {"type": "integer", "multipleOf": 2}}}')
    imported = RUNNER.invoke(build(), ["contract", "import", str(file), "--name", "shop.orders"])
    assert imported.stdout.startswith("stream: shop.orders\n")
    assert "sluice: a: multipleOf: not taken over\n" in imported.stderr
    assert "sluice: owner: not in the file, assumed unknown\n" in imported.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "none.such"], "unknown stream 'none.such'"),
        (["export", "flights.departed", "--format", "xml"], "unknown format 'xml'.*choose from odcs, json-schema"),
        (["import", "/does/not/exist"], "cannot read /does/not/exist: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(build(), ["contract", *arguments])
    assert isinstance(result.exception, TerminalError)
    with pytest.raises(TerminalError, match=message):
        raise result.exception
