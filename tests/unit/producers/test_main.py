import subprocess
import sys

import pytest

from producers.__main__ import main

RANGE = ["replay", "--from", "2013-01-01", "--to", "2013-01-02"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["replay", "--from", "2013-01-01"], "--to"),
        (["replay", "--from", "2013-01-01", "--to", "soon"], "to: 'soon' is not a date"),
        (["replay", "--from", "2013-01-02", "--to", "2013-01-01"], "empty"),
        (["replay", "--from", "2012-01-02", "--to", "2013-01-01"], "no data for 2012-01-02"),
        ([*RANGE, "--speed", "-1"], "speed: -1 is negative"),
        ([*RANGE, "--speed", "inf"], "speed: 'inf' is not a number"),
        ([*RANGE, "--late", "0.1:x"], "late: 'x' is not a number"),
        ([*RANGE, "--late", "2"], "late: 2 is not a share"),
        ([*RANGE, "--copies", "half"], "copies: 'half' is not an integer"),
        ([*RANGE, "--streams", "trains"], "unknown stream 'trains'. Hint: choose from flights.arrived"),
        ([*RANGE, "--unknown"], "--unknown"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_exit_code_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_help_imports_neither_arrow_nor_kafka() -> None:
    code = "import sys, producers.__main__ as m; m._parser(); print({'pyarrow', 'kafka', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
