"""Fixtures of the fault tests: a stream whose sinks reach the store through a proxy."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.faults.sink_harness import SinkHarness
from tests.fixtures.servers import Stream


@pytest.fixture
def make_harness(
    make_stream: Callable[..., Stream], tmp_path: Path, say: Callable[[str], None]
) -> Iterator[Callable[..., SinkHarness]]:
    """Returns a function that creates streams whose sinks reach the store through a proxy."""
    with ExitStack() as stack:

        def make(partitions: int = 2) -> SinkHarness:
            stream = make_stream(partitions=partitions)
            proxy = stack.enter_context(Proxy(stream.settings.minio_port))
            harness = SinkHarness(stream, proxy, tmp_path / "sinks.log", say)
            stack.callback(harness.close)
            return harness

        yield make


@pytest.fixture
def harness(make_harness: Callable[..., SinkHarness]) -> SinkHarness:
    """A stream of two partitions behind a proxy."""
    return make_harness()
