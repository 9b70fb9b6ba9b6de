"""The steps that containers run besides the services: parts of the launch, health checks, and settings.

`docker-compose.yaml` orders the steps among the services; every step is idempotent. Imports are inside the functions
that need them: health checks run all the time and must be cheap.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.config.settings_file import complete
from infra.processes.steps import print_line, run_steps
from infra.servers.services import find_service
from sluice.errors import SluiceError
from sluice.settings import load_settings
from sluice.settings.syntax import QUOTE, parse


def healthy(service: str) -> None:
    """Raises a SluiceError with the reason if a service is not healthy."""
    settings = load_settings()
    found = find_service(service, settings)
    problem = found.check_health(settings) if found else f"unknown service {service!r}"
    if problem is not None:
        raise SluiceError(problem)


def alive(service: str) -> None:
    """Raises a SluiceError with the reason if a restart of a service would help. For liveness probes."""
    settings = load_settings()
    found = find_service(service, settings)
    problem = found.check_liveness(settings) if found else f"unknown service {service!r}"
    if problem is not None:
        raise SluiceError(problem)


def init(engine: str) -> None:
    """Provisions topics, buckets, users, databases and Airflow's metadata; ``engine`` is ``spark`` or empty."""
    from infra.launch.provisioning import Provisioning
    from sluice.contracts import load_contracts

    settings = load_settings()
    known = load_contracts(settings.contracts)
    for line in known.warnings():
        print_line(line)
    # New topics need no callback: Compose starts the sink after this step, and recreates a running sink when a
    # contract has changed.
    provisioning = Provisioning(settings, known, spark=engine == "spark")
    steps = provisioning.steps(lambda: None, print_line)
    names = {step.name for step in steps}
    run_steps([replace(step, needs=tuple(need for need in step.needs if need in names)) for step in steps], print_line)
    for line in provisioning.warnings():
        print_line(line)


def contracts() -> None:
    """Raises a SluiceError that names the contracts that are not valid, if there are any."""
    from sluice.contracts import load_contracts

    load_contracts(load_settings().contracts).require_all()


def removed() -> None:
    """Prints what streams without a contract leave behind; nothing while a server that knows them is down."""
    from sluice.contracts import load_contracts
    from sluice.removed.remains import removed_contracts

    settings = load_settings()
    for line in removed_contracts(settings, load_contracts(settings.contracts)):
        print_line(line)


def fill(months: str) -> None:
    """Replays the first launch's months and waits until the sink has written them to the lake."""
    from infra.launch import first_data
    from sluice.contracts import load_contracts

    settings = load_settings()
    if first_data.is_launched(settings):
        for line in first_data.ignored_months(settings, _months(months)):
            print_line(line)
        return
    cancelled = threading.Event()
    if count := first_data.months_to_replay(settings, _months(months)):
        print_line(f"replay: {first_data.replay(settings, count, cancelled, print_line)}")
    print_line("lake ingest: " + first_data.wait_for_ingest(settings, load_contracts(settings.contracts), cancelled))


def marts(months: str) -> None:
    """Loads the first launch's months, builds their marts, and records that the launch is complete."""
    from infra.launch import first_data

    settings = load_settings()
    if first_data.is_launched(settings):
        return
    if count := first_data.months_to_replay(settings, _months(months)):
        print_line(f"marts: {first_data.build_marts(settings, threading.Event())}")
    first_data.record_launch(settings, count)


def settings() -> None:
    """Reads a settings file from standard input and prints the lines that it lacks; nothing if it is complete."""
    content = sys.stdin.buffer.read()
    file = ".env"
    for name, entry in parse(content, file).items():
        if entry.has_dollar:
            raise SluiceError(f"{file}, line {entry.line}: Compose would replace the `$` in {name}", QUOTE)
    sys.stdout.write(complete(content or None, file=file))


def addresses(file: str) -> None:
    """Prints the address and user of each server; ``file`` is where the passwords are."""
    from infra.launch import launch

    for line in launch.addresses(load_settings(), Path(file)):
        print_line(line)


def _months(text: str) -> int | None:
    from infra.launch.first_data import check_months

    if not text:
        return None
    try:
        months = int(text)
    except ValueError:
        raise SluiceError(f"MONTHS={text} is not a number", "set MONTHS to a number from 0 to 12") from None
    check_months(months)
    return months


STEPS: dict[str, Callable[..., None]] = {
    step.__name__: step for step in (healthy, alive, contracts, init, removed, fill, marts, settings, addresses)
}
"""The steps by name; arguments are strings."""
