"""A new stream's files are those that the project's own tests accept, and an error writes none of them."""

import json
import shutil
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from typer.testing import CliRunner, Result

from cli.app import build
from producers.files import open_records
from producers.files.timeline import FileTimeline
from sluice.contracts import load_contracts
from sluice.contracts.validation import validate_event
from sluice.errors import TerminalError
from sluice.settings import ROOT, Settings
from tests.fixtures.quakes import COUNT, QUAKES

NEW = {
    "contracts/quakes.reported.yaml",
    "contracts/examples/quakes.reported.sample.pass.json",
    "contracts/examples/quakes.reported.invalid.fail.json",
    "dbt/models/staging/stg_quakes_reported.sql",
    "dbt/models/staging/stg_quakes_reported.yml",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")
    shutil.copytree(ROOT / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("generated", "target"))
    settings = Settings(contracts=tmp_path / "contracts", dbt=tmp_path / "dbt")
    for module in ("new_stream", "new_mart"):
        monkeypatch.setattr(f"cli.{module}.load_settings", lambda: settings)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(), list(map(str, arguments)), catch_exceptions=False)


def files(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_new_stream_has_a_contract_examples_and_a_staging_model(project: Path) -> None:
    before = files(project)
    done = run("new-stream", "quakes.reported", "--sample", QUAKES)
    assert done.exit_code == 0
    after = files(project)
    assert after.keys() - before.keys() == NEW
    assert {name: after[name] for name in before} == before
    contracts = load_contracts(project / "contracts")
    contracts.require_all()
    contract = contracts["quakes.reported"]
    assert validate_event(contract, after["contracts/examples/quakes.reported.sample.pass.json"].strip(), None)[1] == ""
    invalid = after["contracts/examples/quakes.reported.invalid.fail.json"].strip()
    assert validate_event(contract, invalid, None)[1] == "time: null, but it is required"


def test_the_report_says_what_was_guessed_and_what_is_to_be_decided(project: Path) -> None:
    done = run("new-stream", "quakes.reported", "--sample", QUAKES)
    assert f"32 columns from {COUNT:,} records of earthquakes.json, {COUNT:,} of them valid" in done.stdout
    assert "time; could also be updated" in done.stdout
    assert "id; could also be code" in done.stdout
    assert "to be decided: event_time, id, lateness, owner" in done.stdout
    for name in NEW:
        assert name in done.stdout


def test_the_staging_model_documents_the_columns_of_the_contract(project: Path) -> None:
    run("new-stream", "quakes.reported", "--sample", QUAKES)
    columns = [column.name for column in load_contracts(project / "contracts")["quakes.reported"].columns]
    staging = project / "dbt" / "models" / "staging"
    (model,) = yaml.safe_load((staging / "stg_quakes_reported.yml").read_text())["models"]
    documented = {column["name"]: column for column in model["columns"]}
    assert list(documented) == [*columns, "_event_date", "_topic_id", "_partition", "_offset"]
    assert documented["mag"]["description"] == "{{ doc('quakes_reported__mag') }}"
    assert model["data_tests"] == [{"one_row_per_event": {"arguments": {"table": "quakes_reported"}}}]
    sql = (staging / "stg_quakes_reported.sql").read_text()
    assert "'quakes_reported'," in sql
    assert all(f"            '{column}',\n" in sql for column in columns)


def test_a_stream_with_several_ids_or_none(project: Path) -> None:
    sample = project / "a.csv"
    sample.write_text("amount\n1.50\n")
    run("new-stream", "a.plain", "--sample", sample)
    staging = project / "dbt" / "models" / "staging"
    assert "'unique'" not in (staging / "stg_a_plain.sql").read_text()
    assert "one row per record" in (staging / "stg_a_plain.yml").read_text()

    from cli.model_files import staging_model

    contract = load_contracts(project / "contracts")["a.plain"].model_copy(
        update={"id": ("net", "code"), "keep": "last"}
    )
    texts = staging_model(contract)
    # The id is the contract's alone: a change of it needs no change of the model.
    assert texts["stg_a_plain.sql"] == (staging / "stg_a_plain.sql").read_text()
    assert "highest offset" in texts["stg_a_plain.yml"]


def test_generated_files_pass_the_projects_checks(project: Path) -> None:
    run("new-stream", "quakes.reported", "--sample", QUAKES)
    run("new-mart", "agg_quakes_daily", "--stream", "quakes.reported")
    run("new-mart", "agg_quakes_plain", "--stream", "quakes.reported", "--plain")
    shutil.copy(ROOT / ".sqlfluff", project)
    shutil.copytree(ROOT / "infra" / "sqlfluff", project / "infra" / "sqlfluff")
    binaries = ROOT / ".venv" / "bin"
    yamls = sorted(map(str, project.rglob("*quakes*.y*ml")))
    assert len(yamls) == 4
    sql = sorted(map(str, project.rglob("*quakes*.sql")))
    assert len(sql) == 4
    config = (ROOT / ".yamllint").read_text().replace("ignore-from-file: .gitignore\n", "")
    for command in ([binaries / "yamllint", "--strict", "-d", config, *yamls], [binaries / "sqlfluff", "lint", *sql]):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Quakes", "--sample", QUAKES), "'Quakes' cannot be the name of a stream"),
        (("quakes", "--sample", QUAKES), "'quakes' cannot be the name of a stream"),
        (("../a.b", "--sample", QUAKES), "'../a.b' cannot be the name of a stream"),
        (("quarantine.pkey", "--sample", QUAKES), "expected another name: raw.quarantine_pkey"),
        (("weather.observed.by.date", "--sample", QUAKES), "would have the names of those of weather.observed"),
        (("weather.observed", "--sample", QUAKES), "exists already. Hint: choose another name than weather.observed"),
        (("a.b", "--sample", "missing.json"), "missing.json cannot be read: No such file"),
        (("a.b", "--sample", ""), "SAMPLE is missing"),
        (("a.b", "--sample", "{folder}/broken.jsonl"), "record 2 is invalid JSON"),
        (("a.b", "--sample", "{folder}/numbers.json"), "record 1 is not an object"),
        (("a.b", "--sample", "{folder}/empty.json"), "the records have no fields"),
        (("a.b", "--sample", "{folder}/surrogates.json"), "no record of the sample is valid"),
        (("a.b", "--sample", "{folder}/wide.csv"), "/wide.csv: 1,500 columns, but a contract has at most 1,000"),
        (("a.b", "--sample", "{folder}/long.json"), "/long.json: its contract is not valid: line 1: expected at most"),
    ],
)
def test_an_error_is_one_line_and_writes_nothing(project: Path, arguments: tuple[Any, ...], message: str) -> None:
    samples = project / "samples"
    samples.mkdir()
    (samples / "broken.jsonl").write_text('{"a": 1}\n{"a":\n')
    (samples / "numbers.json").write_text("[1, 2]")
    (samples / "empty.json").write_text("[{}]")
    (samples / "surrogates.json").write_text(r'[{"a": "\ud800"}]')
    (samples / "wide.csv").write_text(f"{','.join(f'c{number}' for number in range(1_500))}\n{'1,' * 1_499}1\n")
    (samples / "long.json").write_text(json.dumps({f"{number:0400}": number for number in range(900)}))
    before = files(project)
    with pytest.raises(TerminalError) as error:
        run("new-stream", *(str(argument).format(folder=samples) for argument in arguments))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert files(project) == before


@pytest.mark.parametrize("number", ["12e4567890", "1e999999999", "-1e99999999999999999999", "1e-99999999999999999999"])
def test_a_number_of_any_size_in_a_sample_is_taken(project: Path, number: str) -> None:
    sample = project / "a.jsonl"
    sample.write_text(f'{{"id": "a", "size": {number}}}\n{{"id": "b", "size": 2.5}}\n')
    assert "2 columns from 2 records of a.jsonl, 2 of them valid" in run("new-stream", "a.b", "--sample", sample).stdout


def test_the_decimals_of_a_parquet_file_are_those_of_the_contract(project: Path) -> None:
    sample = project / "a.parquet"
    amounts = [Decimal("12.34"), Decimal("99999.99"), None]
    columns = {
        "id": ["a", "b", "c"],
        "amount": pa.array(amounts, pa.decimal128(38, 9)),
        "ratio": pa.array(amounts, pa.decimal128(38, 30)),
        "total": pa.array(amounts, pa.decimal256(60, 2)),
        "empty": pa.array([None] * 3, pa.decimal128(9, 2)),
        "nested": [{"fee": amount} for amount in amounts],
        "coordinates": pa.array([amounts[:2]] * 3, pa.list_(pa.decimal128(11, 6))),
    }
    parquet.write_table(pa.table(columns), sample)
    assert "3 of them valid" in run("new-stream", "a.b", "--sample", sample).stdout
    contract = load_contracts(project / "contracts")["a.b"]
    types = {column.name: column.type for column in contract.columns}
    assert [types[name] for name in ("amount", "ratio", "total", "empty")] == [
        "decimal(38, 9)",
        "decimal(38, 30)",
        "decimal(38, 2)",
        "decimal(9, 2)",
    ]
    assert {types["fee"], types["longitude"], types["latitude"]} == {"decimal(7, 2)", "decimal(11, 6)"}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_dates_become_the_event_time_of_events_without_a_time_of_day(project: Path, name: str) -> None:
    sample = project / name
    if name == "a.csv":
        sample.write_text("date,country,cases\n2020-03-01,AT,14\n2020-03-02,AT,18\n")
    elif name == "a.jsonl":
        sample.write_text('{"date": "2020-03-01", "cases": 14}\n{"date": "2020-03-02", "cases": 18}\n')
    else:
        parquet.write_table(pa.table({"date": [date(2020, 3, 1), date(2020, 3, 2)], "cases": [14, 18]}), sample)
    done = run("new-stream", "a.b", "--sample", sample)
    assert "2 of them valid" in done.stdout
    assert "  event_time  date\n" in done.stdout
    assert "timestamp: a date, taken for its midnight in UTC so that it can be the event time" in done.stdout
    contract = load_contracts(project / "contracts")["a.b"]
    assert contract.event_time == "date"
    times = [event.timestamp for batch in FileTimeline(contract, open_records(sample)).batches() for event in batch]
    assert times == [int(datetime(2020, 3, day, tzinfo=UTC).timestamp() * 1_000) for day in (1, 2)]


def test_force_replaces_the_files_of_a_stream(project: Path) -> None:
    run("new-stream", "quakes.reported", "--sample", QUAKES)
    before = files(project)
    sample = project.parent / "other.jsonl"
    sample.write_text('{"a": 1}\n')
    with pytest.raises(TerminalError, match="FORCE=1"):
        run("new-stream", "quakes.reported", "--sample", sample)
    assert files(project) == before
    assert run("new-stream", "quakes.reported", "--sample", sample, "--force").exit_code == 0
    assert files(project).keys() == before.keys()
    assert [column.name for column in load_contracts(project / "contracts")["quakes.reported"].columns] == ["a"]


class TestNewMart:
    @pytest.fixture(autouse=True)
    def stream(self, project: Path) -> None:
        run("new-stream", "quakes.reported", "--sample", QUAKES)

    def test_a_mart_has_a_model_documentation_and_a_unit_test(self, project: Path) -> None:
        before = files(project)
        assert run("new-mart", "agg_quakes_daily", "--stream", "quakes.reported").exit_code == 0
        after = files(project)
        macro = "dbt/macros/rebuild_by_quakes_reported_date.sql"
        assert after.keys() - before.keys() == {
            "dbt/models/marts/agg_quakes_daily.sql",
            "dbt/models/marts/agg_quakes_daily.yml",
            macro,
        }
        sql = after["dbt/models/marts/agg_quakes_daily.sql"].decode()
        assert "rebuild='quakes_reported_date'" in sql
        assert "where {{ is_stale('_event_date') }}" in sql
        assert b"macro rebuild_by_quakes_reported_date(node, column)" in after[macro]
        assert b"has_stale_date('quakes_reported'" in after[macro]
        document = yaml.safe_load(after["dbt/models/marts/agg_quakes_daily.yml"])
        assert document["unit_tests"][0]["model"] == document["models"][0]["name"] == "agg_quakes_daily"
        assert document["unit_tests"][0]["overrides"] == {"macros": {"rebuilds_part": False}}

    def test_a_second_mart_of_the_stream_has_the_same_key(self, project: Path) -> None:
        run("new-mart", "agg_quakes_daily", "--stream", "quakes.reported")
        macro = project / "dbt" / "macros" / "rebuild_by_quakes_reported_date.sql"
        macro.write_text(macro.read_text() + "{#- Edited. -#}\n")
        edited = macro.read_text()
        run("new-mart", "agg_quakes_again", "--stream", "quakes.reported")
        assert macro.read_text() == edited

    def test_a_plain_mart_is_rebuilt_whole(self, project: Path) -> None:
        run("new-mart", "agg_quakes_daily", "--stream", "quakes.reported", "--plain")
        sql = (project / "dbt" / "models" / "marts" / "agg_quakes_daily.sql").read_text()
        assert "materialized='table'" in sql
        assert "is_stale" not in sql
        assert not (project / "dbt" / "macros" / "rebuild_by_quakes_reported_date.sql").exists()
        assert "overrides" not in (project / "dbt" / "models" / "marts" / "agg_quakes_daily.yml").read_text()

    def test_without_a_stream_it_is_the_newest(self) -> None:
        done = run("new-mart", "agg_quakes_daily")
        assert "stream: quakes.reported, the newest contract" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("fct_flights", "--stream", "quakes.reported"), "exists already"),
            (("stg_quakes_reported", "--stream", "quakes.reported"), "exists already"),
            (("airports", "--stream", "quakes.reported"), "exists already"),
            (("Agg-quakes", "--stream", "quakes.reported"), "cannot be the name of a mart"),
            (("a" * 64, "--stream", "quakes.reported"), "cannot be the name of a mart"),
            (("agg_quakes", "--stream", "quakes"), "unknown stream 'quakes'"),
        ],
    )
    def test_an_error_is_one_line_and_writes_nothing(
        self, project: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        before = files(project)
        with pytest.raises(TerminalError) as error:
            run("new-mart", *arguments)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert files(project) == before

    def test_a_stream_without_a_staging_model_is_an_error(self, project: Path) -> None:
        (project / "dbt" / "models" / "staging" / "stg_quakes_reported.sql").unlink()
        with pytest.raises(TerminalError, match=r"quakes\.reported has no staging model"):
            run("new-mart", "agg_quakes", "--stream", "quakes.reported")
