"""Fixtures of every test that needs servers: one set of them a session, started when the first test asks."""

import pytest

from tests.servers import environment_file, make_stream, servers

__all__ = ["environment_file", "make_stream", "servers"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "thorough: takes longer than continuous integration has; `make test-faults` runs it"
    )
