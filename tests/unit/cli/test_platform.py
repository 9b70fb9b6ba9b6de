"""The table of `make status`."""

import pytest

from cli.platform import _print
from infra.supervision.platform import Status


def test_a_detail_is_printed_as_it_is_without_what_could_affect_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print([Status("sink", "unhealthy", "[/] [Errno 111] [bold]\x1b[2J\nforged")], 0)
    assert r"[/] [Errno 111] [bold]\x1b[2J\nforged" in capsys.readouterr().out
