"""Every command of the README runs as it stands, in order, and prints what the page shows."""

from collections.abc import Callable

import pytest

from sluice.settings import ROOT
from tests.fixtures.blocks import blocks
from tests.fixtures.checkout import Checkout, run_blocks

README = "README.md"


@pytest.mark.timeout(1500)
def test_the_readme_commands_print_what_the_page_shows(checkout: Checkout, say: Callable[[str], None]) -> None:
    run_blocks(checkout, blocks(README, (ROOT / README).read_text()), say)
