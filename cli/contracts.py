"""Reads the contracts for commands that work on all streams, and reports those that are not valid."""

import sys

from sluice.contracts import Contracts, load_contracts
from sluice.settings import Settings


def valid_contracts(settings: Settings) -> Contracts:
    """Returns the valid contracts, and prints a warning to stderr for each file that is not one.

    Raises:
        TerminalError: there are no contracts.
    """
    contracts = load_contracts(settings.contracts)
    for line in contracts.warnings():
        print(f"sluice: {line}", file=sys.stderr)
    return contracts
