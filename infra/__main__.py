"""`python -m infra NAME`: execs a service, or runs a container's step. Not meant to be called by hand."""

import inspect
import sys

from infra.launch.container_steps import STEPS
from infra.processes.commands import LoggedError, last_lines
from infra.processes.environment import leave_shell
from infra.servers.service import exec_service
from infra.servers.services import find_service, services
from sluice.errors import SluiceError
from sluice.settings import load_settings


def main(arguments: list[str]) -> None:
    """Execs the named service or runs the named step; exits with a one-line error if neither is possible."""
    leave_shell()
    name, words = (arguments or [""])[0], arguments[1:]
    try:
        settings = load_settings()
        if not words and (service := find_service(name, settings)):
            exec_service(service, settings)
        step = STEPS.get(name)
        if step is None or len(words) != len(inspect.signature(step).parameters):
            raise SluiceError(
                f"unknown service {' '.join(arguments)!r}", f"choose from {', '.join(services(settings))}"
            )
        step(*words)
    except SluiceError as error:
        if isinstance(error, LoggedError):
            print(last_lines(error.log), file=sys.stderr)
        sys.exit(f"sluice: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
