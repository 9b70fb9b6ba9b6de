"""Every command of the tutorial runs as it stands, in order, on its own platform, and prints what the page shows."""

from collections.abc import Callable

import pytest

from sluice.settings import ROOT
from tests.fixtures.blocks import blocks
from tests.fixtures.checkout import new_checkout, run_blocks

TUTORIAL = "docs/tutorial.md"


@pytest.mark.timeout(1800)
def test_the_tutorial_commands_print_what_the_page_shows(say: Callable[[str], None]) -> None:
    with new_checkout() as checkout:
        run_blocks(checkout, blocks(TUTORIAL, (ROOT / TUTORIAL).read_text()), say)
