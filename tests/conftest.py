"""Fixtures of every test that needs servers: one set of them a session, started when the first test asks.

And a list of what tests injected and counted, which is shown at the end.
"""

from collections.abc import Callable

import pytest

from tests.servers import environment_file, make_stream, servers

__all__ = ["environment_file", "make_stream", "servers"]

_SAID = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SAID] = []
    config.addinivalue_line(
        "markers", "thorough: takes longer than continuous integration has; `make test-faults` runs it"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_SAID]:
        terminalreporter.section("injected and counted")
        for line in config.stash[_SAID]:
            terminalreporter.write_line(line)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a line for the summary at the end of the run."""
    said = request.config.stash[_SAID]
    return lambda line: said.append(f"{request.node.name}: {line}")
