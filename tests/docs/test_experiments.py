"""The experiments of the pages about concepts run as they stand, and print what the pages show."""

from collections.abc import Callable, Iterator

import pytest

from sluice.settings import ROOT
from tests.fixtures.blocks import CONCEPTS, blocks
from tests.fixtures.checkout import Checkout, new_checkout, run_blocks


@pytest.fixture(scope="module")
def launched() -> Iterator[Checkout]:
    """A checkout whose platform is up, with January loaded."""
    with new_checkout() as checkout:
        checkout.make("up")
        yield checkout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", CONCEPTS)
def test_an_experiment_prints_what_its_page_shows(launched: Checkout, page: str, say: Callable[[str], None]) -> None:
    run_blocks(launched, blocks(page, (ROOT / page).read_text()), say)
