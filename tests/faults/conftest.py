"""What the fault tests share: a stream behind a proxy."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.faults.watched import Watched
from tests.servers import Stream


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
