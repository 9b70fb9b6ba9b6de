"""What every suite shares: its fixtures, the tier of each test, and the groups that run beside each other.

The tier ``essential`` is what `make test` runs: all unit tests, and one test per promise on real servers. ``thorough``
tests run in targets of their own. Everything else is the rest of `make test-all`.
"""

from pathlib import Path

import pytest

from tests.fixtures.servers import environment_file, make_stream, servers
from tests.fixtures.summary import pytest_terminal_summary, say

__all__ = ["environment_file", "make_stream", "pytest_terminal_summary", "say", "servers"]

TESTS = Path(__file__).parent
SHARED_SERVERS = {"integration": "servers", "faults": "servers"}
"""By suite: the group of tests that share one set of servers. Other suites are a group each; unit tests need none."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "essential: runs in `make test`, as all unit and acceptance tests do")
    config.addinivalue_line("markers", "thorough: takes longer than `make test-all` has; `make test-faults` runs it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        suite = item.path.relative_to(TESTS).parts[0]
        if suite in ("unit", "acceptance"):
            item.add_marker(pytest.mark.essential)
        if suite != "unit":
            item.add_marker(pytest.mark.xdist_group(SHARED_SERVERS.get(suite, suite)))
