"""Reads the contracts for commands that work on all streams, and reports those that are not valid."""

import sys

from sluice.contracts import Contracts, load_contracts
from sluice.settings import Settings


def valid_contracts(settings: Settings) -> Contracts:
    """Returns the valid contracts, and prints a warning to stderr for each other file, or if there is none.

    Raises:
        TerminalError: there is no folder of contracts.
    """
    contracts = load_contracts(settings.contracts)
    lines = contracts.warnings()
    if not contracts and not lines:
        lines = [f"{settings.contracts} has no contract, so there are no streams"]
    for line in lines:
        print(f"sluice: {line}", file=sys.stderr)
    return contracts
