"""A complete platform for the end-to-end tests, in a separate folder and on separate ports."""

from collections.abc import Iterator

import pytest

from tests.fixtures.platform import Running, launched


@pytest.fixture(scope="package")
def platform() -> Iterator[Running]:
    """A platform with default settings, as `make up` starts it."""
    with launched() as running:
        yield running
