"""A load in a process that can be killed: ``python -m tests.faults.killable_load STREAM [DATE]``.

With a date it reloads that date. The exit code tells success, transient and terminal errors apart.
"""

import sys
from datetime import date

from sluice.contracts import load_contracts
from sluice.errors import TerminalError, TransientError
from sluice.load import load, reload
from sluice.settings import load_settings

TRANSIENT, TERMINAL = 75, 1


def main() -> int:
    stream, *day = sys.argv[1:]
    settings = load_settings()
    contract = load_contracts(settings.contracts)[stream]
    try:
        report = reload(settings, contract, date.fromisoformat(day[0])) if day else load(settings, contract)
    except TransientError as error:
        print(f"transient: {error}")
        return TRANSIENT
    except TerminalError as error:
        print(f"terminal: {error}")
        return TERMINAL
    print(f"{report.rows} rows, {report.quarantined} in quarantine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
