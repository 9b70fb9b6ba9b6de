"""A complete platform for the tests of Spark, in a separate folder and on separate ports."""

from collections.abc import Iterator

import pytest

from tests.fixtures.platform import Running, launched


@pytest.fixture(scope="module")
def platform() -> Iterator[Running]:
    """A platform that was launched without Spark."""
    with launched() as running:
        yield running
