"""`python -m infra NAME`: becomes a service, or does a container's step. Not for people."""

import inspect
import sys

from infra.launch.container_steps import STEPS
from infra.processes.commands import LoggedError, last_lines
from infra.servers.service import become
from infra.servers.services import find, services
from sluice.errors import SluiceError
from sluice.settings import load_settings


def main(arguments: list[str]) -> None:
    """Becomes the service named or does the step, or says in one line why not."""
    name, words = (arguments or [""])[0], arguments[1:]
    try:
        settings = load_settings()
        if not words and (service := find(name, settings)):
            become(service, settings)
        step = STEPS.get(name)
        if step is None or len(words) != len(inspect.signature(step).parameters):
            raise SluiceError(
                f"there is no service {' '.join(arguments)}", f"choose from {', '.join(services(settings))}"
            )
        step(*words)
    except SluiceError as error:
        if isinstance(error, LoggedError):
            print(last_lines(error.log), file=sys.stderr)
        sys.exit(f"sluice: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
