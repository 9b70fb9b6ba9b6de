"""The command sql: several results, three forms, the place of an error, and what each role may read."""

import json
import sys
from pathlib import Path

import pytest

from cli import app
from sluice.errors import TerminalError
from sluice.settings import Settings
from sluice.warehouse import connect


@pytest.fixture(autouse=True)
def _warehouse(servers: Settings, environment_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_ENV_FILE", str(environment_file))


def sql(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sluice", "sql", *arguments])
        return app.run(app.build())


def test_every_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        sql("create temporary table t (a int); insert into t values (1), (2); select a from t order by a; table t") == 0
    )
    assert capsys.readouterr().out == "CREATE TABLE\n\nINSERT 0 2\n\na\n1\n2\n\na\n1\n2\n"


def test_a_result_as_json_keeps_types_and_digits(capsys: pytest.CaptureFixture[str]) -> None:
    query = (
        "select 1::bigint as i, 12345678901234567890.10::numeric as n, 'NaN'::float8 as nan, true as yes, null as none,"
        " '2013-01-01'::date as day, '{\"a\": [1]}'::jsonb as document, e'a\\nb' as text, '{1,2}'::int[] as list"
    )
    sql("--format", "json", query)
    line = capsys.readouterr().out
    assert '"n": 12345678901234567890.10' in line
    assert json.loads(line) == {
        "i": 1,
        "n": 12345678901234567890.10,
        "nan": "NaN",
        "yes": True,
        "none": None,
        "day": "2013-01-01",
        "document": {"a": [1]},
        "text": "a\nb",
        "list": "{1,2}",
    }


def test_a_result_as_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    sql("--format", "table", "select * from (values ('é', 1.5), (null, -20), (e'\\x1b[2J', 3)) as v (name, amount)")
    assert capsys.readouterr().out.splitlines() == [
        "name     amount",
        "───────  ──────",
        "é           1.5",
        "null        -20",
        "\\x1b[2J       3",
        "(3 rows)",
    ]


def test_an_error_points_at_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TerminalError) as error:
        sql("select *\nform ops.loads")
    printed = capsys.readouterr()
    assert printed.out == ""
    line, caret = printed.err.splitlines()
    assert line == "LINE 2: form ops.loads"
    assert caret.index("^") == line.index("form")
    assert str(error.value) == 'the query failed as reader: syntax error at or near "form". Hint: fix the query.'


def test_postgres_own_hint_is_the_hint() -> None:
    with pytest.raises(TerminalError, match=r"column \"raws\" does not exist. Hint: Perhaps you meant to reference"):
        sql("select raws from ops.loads")


def test_a_failed_statement_undoes_those_before_it() -> None:
    with pytest.raises(TerminalError, match="division by zero"):
        sql("--as", "postgres", "create table public.half (a int); select 1/0")
    with pytest.raises(TerminalError, match="does not exist"):
        sql("table public.half")


@pytest.mark.parametrize(("option", "message"), [("--format", "FORMAT=xml is unknown"), ("--as", "AS=xml is unknown")])
def test_an_unknown_choice_names_the_others(option: str, message: str) -> None:
    with pytest.raises(TerminalError, match=f"{message}. Hint: choose from (csv, table, json|reader, loader)"):
        sql(option, "xml", "select 1")


def test_the_reader_reads_everything_but_staging(servers: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(servers, "transformer") as connection:
        connection.execute("create table if not exists staging.unaudited as select 1 as a")
    with pytest.raises(TerminalError, match=r"permission denied for schema staging\. Hint: AS= chooses another role"):
        sql("table staging.unaudited")
    assert sql("--as", "transformer", "table staging.unaudited") == 0
    for schema in ("raw.quarantine", "ops.loads", "ops.date_status"):
        assert sql(f"select count(*) from {schema}") == 0
    assert "permission" not in capsys.readouterr().err
