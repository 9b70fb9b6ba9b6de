"""The command reconcile: it answers at once, waits only if asked to, and its exit code says whether all agrees."""

from typing import Any

import pytest
from typer.testing import CliRunner

from cli.app import build
from sluice.reconcile import Reconciliation, Totals


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"full": False, "patience": 0.0}),
        (["--wait"], {"full": False, "patience": 300.0}),
        (["--wait", "--patience", "7"], {"full": False, "patience": 7.0}),
        (["--full"], {"full": True, "patience": 0.0}),
    ],
)
@pytest.mark.parametrize("faults", [[], ["a.b/0: 1 offsets are missing from the lake"]])
def test_exit_code_and_waiting(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], options: dict[str, Any], faults: list[str]
) -> None:
    asked = []
    result = Reconciliation([], {"a.b": Totals(20, 15, 11)}, faults)
    monkeypatch.setattr("sluice.reconcile.reconcile", lambda *_, **given: asked.append(given) or result)
    done = CliRunner().invoke(build(), ["reconcile", *arguments])
    # Events in flight are no disagreement.
    assert done.exit_code == len(faults)
    assert asked == [options]
    assert done.stdout.splitlines()[-1] == ("1 disagreements" if faults else "everything agrees")
