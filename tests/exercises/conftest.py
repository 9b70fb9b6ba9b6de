"""A complete platform for the exercises: the one that SLUICE_ENV_FILE names, or one that the tests start.

No producer may run on it: the tests compare what it holds before and after each check.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.settings import Settings
from tests.fixtures.platform import Running, launched


@pytest.fixture(scope="package")
def platform() -> Iterator[Running]:
    settings_file = os.environ.get("SLUICE_ENV_FILE")
    if settings_file:
        yield Running(Settings(_env_file=settings_file), Path(settings_file))  # type: ignore[call-arg]
        return
    with launched() as running:
        yield running
