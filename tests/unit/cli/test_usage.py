"""Wrong arguments: one line with the name that was meant, the limits, or an example."""

import os
import subprocess
import sys

import pytest
import typer

from bench.arguments import event_count
from cli import app
from sluice.errors import TerminalError
from sluice.settings import ROOT
from tests.soak.__main__ import main as soak


def make(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs make without running a recipe of its targets, apart from the check of variables."""
    variables = {"PATH": os.environ["PATH"], **environment}
    command = ["make", "-s", "SLUICE=: infra/sluice", *arguments]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["replay", "STREAM=flights.departed"],
            "`make replay` has no variable STREAM. Hint: write STREAMS=; it takes FROM",
        ),
        (["replay", "from=2013-01-01"], "no variable from. Hint: write FROM=;"),
        (["replay", "SPED=3"], "no variable SPED. Hint: write SPEED=;"),
        (["replay", "START=2013-01-01"], "no variable START. Hint: write FROM=;"),
        (["replay", "WHAT=raw"], "no variable WHAT. Hint: it takes FROM, TO, SPEED, LATE,"),
        (["up", "MONTH=2"], "no variable MONTH. Hint: write MONTHS=;"),
        (["backfill", "STREAMS=a"], "no variable STREAMS. Hint: write STREAM=;"),
        (["backfill", "DRYRUN=1"], "no variable DRYRUN. Hint: write DRY_RUN=;"),
        (["peek", "COUNT=3"], "no variable COUNT. Hint: write N=;"),
        (["sql", "QUERY=select 'it''s'"], "no variable QUERY. Hint: write Q=;"),
        (["logs", "SERVICE=sink"], "no variable SERVICE. Hint: write S=."),
        (["quarantine", "list=1"], "no variable list. Hint: it takes A."),
        # Nothing that skips a question is suggested to someone who meant something else.
        (["clean", "DRY_RUN=1"], "no variable DRY_RUN. Hint: it takes FORCE."),
        (["rebuild-warehouse", "HELP=1"], "no variable HELP. Hint: it takes FORCE."),
        (["logs", "N=50"], "no variable N. Hint: it takes S."),
        (["learn", "FORCE=1"], "no variable FORCE. Hint: it takes N."),
        (["peek", "NAME=a"], "no variable NAME. Hint: write STREAM=;"),
        (["replay", "DATE=2013-01-01"], "no variable DATE. Hint: write FROM=;"),
        (["replay", "TOPIC=a"], "no variable TOPIC. Hint: write STREAMS=;"),
        (["send", "NAME=a"], "no variable NAME. Hint: write STREAM=;"),
        (["drop-stream", "STREAM=a"], "no variable STREAM. Hint: write NAME=;"),
        (
            ["transform", "FROM=2013-01-01"],
            "Hint: it takes no variables; FROM= is for `make replay`, `make backfill`, `make compare-engines`.",
        ),
        (["status", "X=1"], "`make status` has no variable X. Hint: it takes no variables."),
        (["MONTHS=2"], "`make help` has no variable MONTHS. Hint: it takes no variables; MONTHS= is for `make up`."),
        (["down", "clean", "FORC=1"], "`make down`, `make clean` has no variable FORC. Hint: write FORCE=."),
        (["check", "NAME=late"], "no variable NAME. Hint: write N=;"),
        (["report", "FILE=a.json"], "`make report` has no variable FILE. Hint: it takes NAME, CHECK."),
        (["bench-load", "EVENT=1"], "no variable EVENT. Hint: write EVENTS=."),
    ],
)
def test_a_misnamed_variable_is_refused_with_the_name_that_was_meant(arguments: list[str], message: str) -> None:
    done = make(*arguments)
    assert done.returncode != 0
    line = done.stderr.splitlines()[0]
    assert line.startswith("sluice: ")
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "FROM=2013-01-01", "TO=2013-01-02", "STREAMS=a", "COPIES=2", "RUNTIME=native"],
        ["up", "MONTHS=2", "LIVE=0", "PROFILE=scale", "SLUICE_KAFKA_PORT=1", "https_proxy=x", "OPENLINEAGE_URL=x"],
        ["down", "up", "MONTHS=0"],
        ["sql", "Q=select ';' $1 `x` \"", "AS=loader"],
    ],
)
def test_variables_that_a_target_takes_are_accepted(arguments: list[str]) -> None:
    # `SLUICE` replaces the launcher in these tests; a user's own command line has none.
    done = make(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("value", ["maybe", "2", "-", "no thanks", "nein", "nO", "fALSE"])
@pytest.mark.parametrize("flag", [("clean", "FORCE"), ("backfill", "DRY_RUN"), ("up", "LIVE"), ("check", "WATCH")])
def test_what_is_neither_a_yes_nor_a_no_is_refused(flag: tuple[str, str], value: str) -> None:
    target, name = flag
    done = make(target, f"{name}={value}")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        f"sluice: {name} is neither a yes nor a no. Hint: write {name}=1 or {name}=0."
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(value, "") for value in ("", "0", "no", "No", "off", "OFF", "false", "False", "n")]
    + [(value, " --force") for value in ("1", "yes", "on", "true", "TRUE", "y")],
)
def test_a_flag_is_given_unless_it_is_a_no(value: str, expected: str) -> None:
    done = make("clean", f"FORCE={value}", "SLUICE=echo", "-n")
    assert done.stdout.splitlines()[-1].strip() == f"echo clean{expected}"
    live = make("up", f"LIVE={value}", "SLUICE=echo", "-n").stdout
    assert ("--no-live" in live) is (expected == "" and value != "")


def test_the_environment_confirms_nothing() -> None:
    variables = {**os.environ, "FORCE": "1"}
    done = subprocess.run(["make", "-sn", "clean"], env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--force" not in done.stdout


def test_the_environment_does_not_ask_for_spark() -> None:
    variables = {**os.environ, "ENGINE": "spark"}
    done = subprocess.run(["make", "-sn", "up"], env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--engine" not in done.stdout


@pytest.mark.parametrize("engine", ["flink", "Spark", "1"])
def test_another_engine_is_refused_before_anything_starts(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.launch.launch.up", lambda *_: pytest.fail("launched"))
    expected = f"ENGINE={engine} is unknown. Hint: set it to spark, or leave it out."
    assert error_of("up", "--engine", engine) == expected


def test_variables_of_the_environment_are_not_refused() -> None:
    done = make("status", STREAM="a", SPEED="x", MONTHS="99", AS="as", WHATEVER="1")
    assert (done.returncode, done.stderr) == (0, "")


def error_of(*arguments: str) -> str:
    """Returns the error of a command."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TerminalError) as error:
        patch.setattr(sys, "argv", ["sluice", *arguments])
        app.run(app.build())
    return str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sql", "--", ""], 'Q is missing. Hint: for example `make sql Q="select'),
        (["peek", "--", ""], "STREAM is missing. Hint: for example `make peek STREAM="),
        (["new-stream", "--sample", "", "--", ""], "NAME is missing. Hint: for example `make new-stream NAME="),
        (["new-stream", "--sample", "", "--", "a.b"], "SAMPLE is missing. Hint: for example `make new-stream NAME="),
        (["new-mart", "--", ""], "NAME is missing. Hint: for example `make new-mart NAME="),
        (["new-exercise", "--", ""], "NAME is missing. Hint: for example `make new-exercise NAME="),
        (["new-exercise", "--", "a"], "STAGE is missing. Hint: for example `make new-exercise NAME="),
        (["reset", "--", ""], "N is missing. Hint: for example `make reset N=1`"),
        (["drop-stream", "--", ""], "NAME is missing. Hint: for example `make drop-stream NAME="),
        (["quarantine"], "quarantine: an action is missing. Hint: for example `make quarantine A=list`"),
        (["lake"], "lake: an action is missing. Hint: for example `make lake A=status`"),
        (["contract"], "contract: an action is missing. Hint: for example `make contract A="),
        (["airflow"], "A is missing. Hint: for example `make airflow A="),
        (["dbt"], "A is missing. Hint: for example `make dbt A="),
    ],
)
def test_a_command_without_its_arguments_shows_an_example(arguments: list[str], message: str) -> None:
    assert error_of(*arguments).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["peek", "-n", "0", "a.b"], "N=0 is out of range. Hint: give a number from 1 to 100,000."),
        (["peek", "-n", "1000000000", "a.b"], "N=1000000000 is out of range"),
        (["peek", "-n", "ten", "a.b"], "N=ten is not a whole number. Hint: write it as 1."),
        (["quarantine", "show", "-n", "-5"], "-n=-5 is out of range"),
        (["logs", "--lines", "-3"], "--lines=-3 is out of range"),
        (["up", "--months", "13"], "MONTHS=13 is out of range. Hint: give a number from 0 to 12."),
        (["up", "--months", "1.5"], "MONTHS=1.5 is not a whole number"),
        (["reconcile", "--patience", "0"], "--patience=0 is out of range"),
        (["quarantine", "lst"], "quarantine: no such command 'lst', did you mean 'list'. Hint: "),
        (["up", "--months", "1_0"], "MONTHS=1_0 is not a whole number"),
        (["up", "--months", "٣"], "MONTHS=٣ is not a whole number"),
        (["lake", "gap", "a.b", "x", "--to", "1", "--reason", "r"], "partition=x is not a whole number"),
        (["lake", "gap", "a.b", "0", "--to", "1" * 20, "--reason", "r"], "--to=11111111111111111111 is out of range"),
        (["lake", "find", "a.b", "0", "9" * 40], f"offset={'9' * 40} is not a whole number"),
        (["lake", "find", "a.b", "4294967296", "0"], "partition=4294967296 is out of range"),
        (["sql", "a", "b"], "sql: got unexpected extra argument(s) (b). Hint: "),
        (["sqk"], "No such command 'sqk', did you mean 'sql'. Hint: "),
        (["contract", "export"], "contract export: stream is missing. Hint: for example `make contract A="),
    ],
)
def test_a_wrong_argument_is_an_error_of_one_line(arguments: list[str], message: str) -> None:
    assert error_of(*arguments).startswith(message)


@pytest.mark.parametrize("count", ["0", "-1", "x", "1e9", "1000000000"])
def test_a_benchmark_of_an_impossible_number_of_events_is_refused(count: str) -> None:
    with pytest.raises(SystemExit, match=f"sluice: EVENTS={count} is out of range. Hint: "):
        event_count(count)


@pytest.mark.parametrize("option", ["--minutes=0", "--minutes=1441", "--minutes=1.5", "--seed=-1"])
def test_a_soak_of_an_impossible_length_or_seed_is_refused(option: str) -> None:
    with pytest.raises(SystemExit, match=r"is out of range\. Hint: give a number from "):
        soak([option])


def test_a_question_answered_with_no_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    program = app.build()

    @program.command("abort")
    def abort() -> None:
        raise typer.Abort

    monkeypatch.setattr(sys, "argv", ["sluice", "abort"])
    with pytest.raises(TerminalError, match="cancelled: nothing was changed"):
        app.run(program)
