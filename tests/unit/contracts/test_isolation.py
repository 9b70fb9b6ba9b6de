"""An invalid contract costs its own stream: the others load, and the error names the file."""

import os
from pathlib import Path

import pytest

from sluice.contracts import Contract, Contracts, contracts_version, get_contract, load_contracts
from sluice.errors import TerminalError
from sluice.settings import ROOT

WEATHER = (ROOT / "contracts" / "weather.observed.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "weather.observed.yaml").write_text(WEATHER)
    return folder


def problems(contracts: Contracts) -> dict[str, str]:
    return {file.path.name: f"{file.problem} {file.hint}" for file in contracts.invalid}


def test_an_invalid_contract_costs_its_own_stream(folder: Path) -> None:
    (folder / "a.b.yaml").write_text("stream: a.b\n")
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    (invalid,) = contracts.invalid
    assert (invalid.stream, invalid.table) == ("a.b", "a_b")
    assert invalid.problem.startswith(f"{folder}/a.b.yaml: line 1: description: Field required")


def test_a_command_that_names_the_stream_of_an_invalid_contract_says_where_it_is_wrong(folder: Path) -> None:
    (folder / "a.b.yaml").write_text("stream: a.b\nowner: no\n")
    with pytest.raises(TerminalError, match=r"a\.b\.yaml: line 1: .*; line 2: owner: .* found no"):
        get_contract(load_contracts(folder), "a.b")


def test_a_command_that_needs_every_contract_names_each_invalid_one(folder: Path) -> None:
    load_contracts(folder).require_all()
    for stream in ("a.b", "c.d"):
        (folder / f"{stream}.yaml").write_text("[")
    with pytest.raises(TerminalError, match=r"a\.b\.yaml: line 1: .*c\.d\.yaml: line 1: "):
        load_contracts(folder).require_all()


@pytest.mark.parametrize("name", ["x.y.yml", "X.YAML", "more/x.y.yaml", "x.y", "x.y.yaml.txt", "x.y.json"])
def test_a_file_that_looks_like_a_contract_but_is_not_read_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(WEATHER)
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    assert f"rename it to {folder}/<stream>.yaml" in problems(contracts)[path.name]


@pytest.mark.parametrize(
    "name", [".x.y.yaml", "..data/x.y.yaml", "x.y.yaml~", "#x.y.yaml#", "x.y.yaml.bak", "notes.md"]
)
def test_hidden_files_and_copies_are_not_contracts(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(WEATHER)
    assert load_contracts(folder).invalid == ()


def test_something_that_cannot_be_read_is_named_and_never_waited_for(folder: Path) -> None:
    (folder / "a.link.yaml").symlink_to(folder / "missing")
    (folder / "a.folder.yaml").mkdir()
    os.mkfifo(folder / "a.pipe.yaml")
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    assert sorted(problems(contracts)) == ["a.folder.yaml", "a.link.yaml", "a.pipe.yaml"]
    assert all("line 1: cannot read the contract" in problem for problem in problems(contracts).values())


@pytest.mark.parametrize("index", ["by.date", "by.load"])
def test_two_streams_whose_tables_or_indexes_have_one_name_are_named(folder: Path, index: str) -> None:
    stream = f"weather.observed.{index}"
    (folder / f"{stream}.yaml").write_text(WEATHER.replace("stream: weather.observed", f"stream: {stream}"))
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    table = stream.replace(".", "_")
    assert f"raw.{table} is one of stream weather.observed" in problems(contracts)[f"{stream}.yaml"]


@pytest.mark.parametrize("stream", ["quarantine.pkey", "quarantine.by.load"])
def test_a_stream_with_the_name_of_a_relation_of_the_quarantine_is_named(folder: Path, stream: str) -> None:
    (folder / f"{stream}.yaml").write_text(WEATHER.replace("weather.observed", stream, 1))
    assert "line 1: stream: expected another name" in problems(load_contracts(folder))[f"{stream}.yaml"]


def test_an_edit_changes_the_version_and_a_reader_of_it_never_fails(folder: Path) -> None:
    before = contracts_version(folder)
    assert contracts_version(folder) == before
    (folder / "a.link.yaml").symlink_to(folder / "missing")
    assert contracts_version(folder) == before
    (folder / "a.b.yaml").write_text("[")
    assert contracts_version(folder) != before


ODD = {
    "pattern that no machine can repeat": ('pattern: "a{99999999999999999999}"', "string"),
    "pattern that looks ahead": ('pattern: "(?=a)[a-z]+"', "string"),
    "pattern that refers back": ('pattern: "(a|b)\\\\1"', "string"),
    "pattern of half of a surrogate pair": ('pattern: "\\ud800"', "string"),
    "pattern that leaves its group": ('pattern: "a)(b"', "string"),
    "deep pattern": (f'pattern: "{"(" * 3_000}{")" * 3_000}"', "string"),
    "deep type": ("unit: m", "array(" * 3_000 + "int32" + ")" * 3_000),
    "limit of 400 digits": (f"minimum: {'9' * 400}\n    maximum: 1", "decimal(500, 0)"),
    "limits of 400 digits": (f"minimum: 1\n    maximum: {'9' * 400}", "decimal(500, 0)"),
    "half of a surrogate pair": ('enum: ["\\ud800", "x"]', "string"),
    "unit with a NUL": ('unit: "\\0"', "int32"),
    "path with half of a surrogate pair": ('from: "a\\ud800"', "string"),
    "path with a NUL": ('from: ["b", "a\\0"]', "string"),
    "empty enum": ("enum: []", "string"),
    "unit that is an integer": (f"unit: 0x{'f' * 5_000}", "int32"),
}


@pytest.mark.parametrize("odd", ODD)
def test_whatever_is_odd_in_a_contract_costs_its_own_stream(folder: Path, odd: str) -> None:
    line, kind = ODD[odd]
    text = (
        WEATHER.replace("weather.observed", "a.b")
        + f"  - name: odd\n    type: {kind}\n    {line}\n    description: x\n"
    )
    (folder / "a.b.yaml").write_text(text)
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    assert "a.b.yaml: line " in problems(contracts)["a.b.yaml"]
    assert len(problems(contracts)["a.b.yaml"]) < 1_000


@pytest.mark.parametrize("item", [f"0x{'f' * 5_000}", ":".join(["1"] + ["59"] * 2_600), "1.5", "[a]"])
def test_an_odd_item_of_a_list_costs_its_own_stream(folder: Path, item: str) -> None:
    (folder / "a.b.yaml").write_text(WEATHER.replace("weather.observed", "a.b") + f"id: [{item}]\n")
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    assert "a.b.yaml: line " in problems(contracts)["a.b.yaml"]


def test_a_fault_that_no_rule_foresees_costs_its_own_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.b.yaml").write_text(WEATHER.replace("weather.observed", "a.b"))
    validate = Contract.model_validate

    def fail(document: dict[str, object]) -> Contract:
        if document["stream"] == "a.b":
            raise ArithmeticError("odd")
        return validate(document)

    monkeypatch.setattr(Contract, "model_validate", fail)
    contracts = load_contracts(folder)
    assert list(contracts) == ["weather.observed"]
    assert "a.b.yaml: line 1: cannot be understood: ArithmeticError: odd" in problems(contracts)["a.b.yaml"]


@pytest.mark.parametrize("name", [".", ".."])
def test_a_topic_that_kafka_refuses_costs_its_own_stream(folder: Path, name: str) -> None:
    text = WEATHER.replace("weather.observed", "a.b").replace("topic:\n", f'topic:\n  name: "{name}"\n')
    (folder / "a.b.yaml").write_text(text)
    assert list(load_contracts(folder)) == ["weather.observed"]


def test_topics_that_kafka_cannot_tell_apart_are_refused(folder: Path) -> None:
    text = WEATHER.replace("weather.observed", "a.b").replace("topic:\n", "topic:\n  name: weather_observed\n")
    (folder / "a.b.yaml").write_text(text)
    assert len(load_contracts(folder).invalid) == 1
