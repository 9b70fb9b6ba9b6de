"""Commands that work on all streams say what is wrong with the contracts, and go on with the others."""

from pathlib import Path

import pytest

from cli.contracts import valid_contracts
from sluice.settings import Settings


def test_a_folder_without_contracts_is_named_and_an_invalid_contract_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert valid_contracts(Settings(contracts=tmp_path)) == {}
    assert capsys.readouterr().err == f"sluice: {tmp_path} has no contract, so there are no streams\n"
    (tmp_path / "a.b.yaml").write_text("stream: a.b\n")
    assert valid_contracts(Settings(contracts=tmp_path)) == {}
    assert capsys.readouterr().err.startswith("sluice: invalid contract, its stream is left out: ")
