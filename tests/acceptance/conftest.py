"""One platform, launched once by `make up` in a checkout of its own, as a reader of the README has it."""

from collections.abc import Iterator

import pytest

from sluice.settings import Settings
from tests.fixtures.checkout import Checkout, new_checkout
from tests.fixtures.platform import Running


@pytest.fixture(scope="package")
def checkout() -> Iterator[Checkout]:
    """Yields a checkout whose platform shows January."""
    with new_checkout() as made:
        made.make("up", "LIVE=0", timeout=1200)
        yield made


@pytest.fixture(scope="package")
def platform(checkout: Checkout) -> Running:
    """Returns the checkout's platform."""
    file = checkout.folder / ".env"
    settings = Settings(_env_file=file, home=checkout.folder / ".sluice", contracts=checkout.folder / "contracts")  # type: ignore[call-arg]
    return Running(settings, file, ("infra/sluice",), checkout.folder)
