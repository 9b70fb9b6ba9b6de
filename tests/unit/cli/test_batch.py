"""The command load, while it waits for the sink."""

import pytest
from typer.testing import CliRunner

from cli.app import build


def test_ctrl_c_while_a_load_waits_for_the_sink_says_that_nothing_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sluice.sink.arrival.wait_for_lake", interrupt)
    monkeypatch.setattr("cli.batch.run_loads", lambda *_: pytest.fail("a load was started"))
    done = CliRunner().invoke(build(), ["load"])
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "sluice: interrupted: no load was started; Airflow loads by schedule\n"
