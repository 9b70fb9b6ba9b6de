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
    parser.addoption("--seed", type=int, help="the seed of tests that draw their own cases")


@pytest.fixture
def seed(request: pytest.FixtureRequest, say: Callable[[str], None]) -> int:
    """The seed of a test that draws its own cases; always the same in Hypothesis' profile for CI."""
    return _seed(request, say, repeatable=settings.get_current_profile_name() == "ci")


@pytest.fixture
def new_seed(request: pytest.FixtureRequest, say: Callable[[str], None]) -> int:
    """The seed of a test of interleavings: another one in each run, in CI as well."""
    return _seed(request, say, repeatable=False)


def _seed(request: pytest.FixtureRequest, say: Callable[[str], None], *, repeatable: bool) -> int:
    """Returns the seed of a test, which the summary shows."""
    given: int | None = request.config.getoption("--seed")
    value = given if given is not None else 0 if repeatable else Random().randrange(10**6)
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
