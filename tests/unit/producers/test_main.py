import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from producers.__main__ import main
from sluice.settings import ROOT, Settings

SEND = ["send", "--stream", "weather.observed", "--file", "missing.json"]
RANGE = ["replay", "--from", "2013-01-01", "--to", "2013-01-02"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["replay"], "FROM and TO are missing. Hint: for example `make replay FROM="),
        (["replay", "--from", "2013-01-01", "--to", ""], "TO is missing. Hint: for example `make replay FROM="),
        (["replay", "--from", "2013-01-01", "--to", "soon"], "TO=soon is not a date"),
        (["replay", "--from", "2013-01-02", "--to", "2013-01-01"], "empty"),
        (["replay", "--from", "2012-01-02", "--to", "2013-01-01"], "no data for 2012-01-02"),
        *(([*RANGE, "--speed", speed], f"SPEED={speed} is out of range") for speed in ("-1", "0.5", "1e9")),
        ([*RANGE, "--speed", "inf"], "SPEED=inf is not a number"),
        ([*RANGE, "--late", "0.1:x"], "LATE=x is not a number"),
        ([*RANGE, "--late", "2"], "LATE=2 is not a share"),
        ([*RANGE, "--late", "0.1:9000"], "LATE: 9000 hours is out of range"),
        ([*RANGE, "--seed", "-1"], "SEED=-1 is out of range"),
        *(([*RANGE, "--copies", copies], f"COPIES={copies} is out of range") for copies in ("0", "101", "1000000")),
        ([*RANGE, "--copies", "1_0"], "COPIES=1_0 is not a whole number"),
        ([*RANGE, "--speed", "1_000"], "SPEED=1_000 is not a number"),
        ([*RANGE, "--streams", " ,"], "STREAMS= , names no stream"),
        ([*RANGE, "--copies", "half"], "COPIES=half is not a whole number"),
        ([*RANGE, "--streams", "trains"], "unknown stream 'trains'. Hint: choose from flights.arrived"),
        ([*RANGE, "--unknown"], "--unknown"),
        (["send", "--file", "a.json"], "STREAM is missing. Hint: for example `make send STREAM="),
        (["send", "--stream", "weather.observed", "--file", " "], "FILE is missing"),
        ([*SEND, "--speed", "-1"], "SPEED=-1 is out of range"),
        ([*SEND, "--late", "2"], "LATE=2 is not a share"),
        ([*SEND, "--copies", "2"], "--copies"),
        (SEND, "missing.json cannot be read: No such file"),
        (["send", "--stream", "trains", "--file", "a.json"], "unknown stream 'trains'. Hint: choose from flights"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_exit_code_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("sluice: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_the_live_producer_waits_for_the_contract_of_a_stream_that_it_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    text = (contracts / "flights.arrived.yaml").read_text()
    (contracts / "flights.arrived.yaml").write_text("[")
    # A contract that is none of the producer's.
    (contracts / "a.b.yaml").write_text("[")

    def fix(_: float) -> None:
        (contracts / "flights.arrived.yaml").write_text(text)

    monkeypatch.setattr("producers.__main__.time.sleep", fix)
    monkeypatch.setattr("sluice.settings.load_settings", lambda: Settings(contracts=contracts, home=tmp_path))
    monkeypatch.setattr("producers.flights.live.live", lambda kafka, contracts, *_: len(contracts))
    assert main(["live"]) == 4
    assert "waiting: " in (printed := capsys.readouterr().out)
    assert "flights.arrived.yaml: line 1: invalid YAML" in printed
    assert "a.b.yaml" not in printed


def test_a_replay_names_the_invalid_contract_of_a_stream_that_it_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weather.observed.yaml").write_text("[")
    monkeypatch.setattr("sluice.settings.load_settings", lambda: Settings(contracts=tmp_path, home=tmp_path))
    assert main([*RANGE, "--streams", "weather.observed"]) == 1
    assert "weather.observed.yaml: line 1: invalid YAML" in capsys.readouterr().err


def test_ctrl_c_while_a_file_is_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sluice.settings.load_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr("producers.files.send.send", interrupt)
    assert main(SEND) == 130
    assert capsys.readouterr().err == "stopped by SIGINT\n"


def test_help_imports_neither_arrow_nor_kafka() -> None:
    code = "import sys, producers.__main__ as m; m._parser(); print({'pyarrow', 'kafka', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
