"""``python -m tests.soak.command …``: the platform's commands, whose supervisor runs ``tests.soak.service``."""

from cli.app import main
from infra.supervision import supervisor

if __name__ == "__main__":
    configuration = supervisor.configuration
    supervisor.configuration = lambda services, home: configuration(services, home).replace(
        " -m infra ", " -m tests.soak.service "
    )
    main()
