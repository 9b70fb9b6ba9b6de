"""Every command block of the pages, typed as it stands, in the order in which a reader meets them."""

import difflib

import pytest

from sluice.settings import ROOT
from tests.docs.blocks import Block, blocks, is_shown
from tests.docs.conftest import Checkout

PAGES = ("README.md", "docs/tutorial.md")
BLOCKS = [block for page in PAGES for block in blocks(page, (ROOT / page).read_text())]
ALL_TESTS = "make test"


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(each.page, each, id=f"{each.page}:{each.line}") for each in BLOCKS],
    scope="session",
)
def test_a_block_does_what_its_page_shows(checkout: Checkout, block: Block) -> None:
    if block.commands[0].text.startswith(ALL_TESTS):
        pytest.skip(f"`{ALL_TESTS}` is what runs this test")
    for command, (printed, code) in zip(block.commands, checkout.type(block), strict=True):
        print(f"$ {command.text.rstrip()}\n{printed.rstrip()}\n({code})")
        assert (code != 0) == command.fails, f"exit code {code}"
        if command.shown is not None and not is_shown(command.shown, printed, block.mark):
            differences = difflib.unified_diff(command.shown.splitlines(), printed.splitlines(), block.page, "printed")
            pytest.fail("\n".join(differences))
