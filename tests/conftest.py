"""What every suite shares: its fixtures, the tier of each test, and the suites that run beside each other.

The tier ``essential`` is what `make test` runs: all unit and acceptance tests, and one test per promise on real
servers. ``thorough`` tests run in targets of their own. Everything else is the rest of `make test-all`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.fixtures import leftovers
from tests.fixtures.leftovers import pytest_keyboard_interrupt, pytest_unconfigure
from tests.fixtures.servers import environment_file, make_stream, servers
from tests.fixtures.summary import pytest_terminal_summary, say

__all__ = [
    "environment_file",
    "make_stream",
    "pytest_keyboard_interrupt",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "say",
    "servers",
]

TESTS = Path(__file__).parent

# What make passes on to a make below it: one that a test runs prints and does the same without `make test` around it.
for inherited in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(inherited, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=int, default=10, help="how long the fuzz test sends odd records")
    parser.addoption("--seed", type=int, default=_new_seed(), help="the seed of tests that draw their own cases")


def _new_seed() -> int:
    """Returns another seed for each run; always the same in Hypothesis' profile for CI, where runs are repeatable."""
    return 0 if settings.get_current_profile_name() == "ci" else Random().randrange(10**6)


@pytest.fixture
def seed(request: pytest.FixtureRequest, say: Callable[[str], None]) -> int:
    """The seed of a test that draws its own cases, which the summary shows."""
    value: int = request.config.getoption("--seed")
    say(f"seed {value}: repeat this with --seed {value}")
    return value


def pytest_configure(config: pytest.Config) -> None:
    leftovers.pytest_configure(config)
    config.addinivalue_line("markers", "essential: runs in `make test`, as all unit and acceptance tests do")
    config.addinivalue_line("markers", "thorough: takes longer than `make test-all` has; a target of its own runs it")


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.relative_to(TESTS).parts[0] in ("unit", "acceptance"):
        item.add_marker(pytest.mark.essential)


class SuiteScheduling(LoadScopeScheduling):
    """Runs suites beside each other: the tests of one, which share servers, go to one worker, unit tests to any."""

    def _split_scope(self, nodeid: str) -> str:
        suite = nodeid.split("/")[1]
        return nodeid if suite == "unit" else suite


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SuiteScheduling:
    return SuiteScheduling(config, log)
