"""Commands work in a shell that holds proxies, credentials and options of other tools."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from sluice.settings import ROOT
from tests.fixtures.hostile_shell import HOSTILE
from tests.fixtures.servers import Stream


@pytest.mark.essential
def test_commands_heed_nothing_of_the_shell_that_is_not_theirs(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(partitions=1)
    stream.send(['{"note": "für später ✓"}'.encode()])
    stream.land()

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        own = {name: value for name, value in stream.environment.items() if name.startswith("SLUICE_")}
        variables = {"PATH": os.environ["PATH"], **HOSTILE, **own}
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)

    peek = run("peek", stream.name)
    assert "für später ✓" in peek.stdout, peek.stderr
    sql = run("sql", "select current_setting('search_path'), current_setting('TimeZone'), 'é'")
    assert sql.stdout.splitlines()[1:] == ['"""$user"", public",UTC,é'], sql.stderr
    reconcile = run("reconcile")
    assert "Traceback" not in reconcile.stderr
    assert stream.name in reconcile.stdout, reconcile.stderr
