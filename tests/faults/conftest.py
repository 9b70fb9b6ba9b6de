"""What the fault tests share: a stream behind a proxy, and a list of what each test injected and counted."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.faults.watched import Watched
from tests.servers import Stream

_SAID = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SAID] = []


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


@pytest.fixture
def make_watched(
    make_stream: Callable[..., Stream], tmp_path: Path, say: Callable[[str], None]
) -> Iterator[Callable[..., Watched]]:
    """Makes streams whose sinks reach the store through a proxy."""
    with ExitStack() as stack:

        def make(partitions: int = 2) -> Watched:
            stream = make_stream(partitions=partitions)
            proxy = stack.enter_context(Proxy(stream.settings.minio_port))
            watched = Watched(stream, proxy, tmp_path / "sinks.log", say)
            stack.callback(watched.close)
            return watched

        yield make


@pytest.fixture
def watched(make_watched: Callable[..., Watched]) -> Watched:
    """A stream of two partitions behind a proxy."""
    return make_watched()
