"""`python -m sluice.runtime NAME`: becomes a service. What the supervisor runs; not for people."""

import sys

from sluice.errors import SluiceError
from sluice.runtime.service import become
from sluice.runtime.services import SERVICES
from sluice.settings import load_settings


def main(arguments: list[str]) -> None:
    """Becomes the service named, or says in one line why not."""
    try:
        if len(arguments) != 1 or arguments[0] not in SERVICES:
            raise SluiceError(f"there is no service {' '.join(arguments)}", f"choose from {', '.join(SERVICES)}")
        become(SERVICES[arguments[0]], load_settings())
    except SluiceError as error:
        sys.exit(f"sluice: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
