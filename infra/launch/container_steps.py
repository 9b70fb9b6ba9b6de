"""What a container does that is no service: one step of the launch, or a question whose answer needs no server.

`docker-compose.yaml` orders the steps among the services; each may be repeated without harm. What
they call is imported where it is called: a health check is asked for all the time, and should cost little.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.config.settings_file import complete
from infra.processes.steps import run_steps, say
from infra.servers.services import find
from sluice.errors import SluiceError
from sluice.settings import load_settings


def healthy(service: str) -> None:
    """Raises a SluiceError that says what a service lacks, if it lacks something."""
    settings = load_settings()
    found = find(service, settings)
    missing = found.healthy(settings) if found else f"there is no service {service}"
    if missing is not None:
        raise SluiceError(missing)


def init() -> None:
    """Makes topics, bucket, users, databases and Airflow's metadata."""
    from infra.launch.provisioning import first_steps
    from sluice.contracts import load_contracts

    settings = load_settings()
    # Compose starts the sink after this; one that runs is made again when a contract has changed.
    steps = first_steps(settings, load_contracts(settings.contracts), lambda: None)
    here = {step.name for step in steps}
    run_steps([replace(step, needs=tuple(need for need in step.needs if need in here)) for step in steps], say)


def fill(months: str) -> None:
    """Replays the first launch's months and waits until the lake has them."""
    from infra.launch import first_data
    from sluice.contracts import load_contracts

    settings = load_settings()
    if first_data.launched(settings):
        return
    going_on = threading.Event()
    if _months(months):
        say(first_data.replay(settings, _months(months), going_on))
    say(first_data.fill_lake(settings, load_contracts(settings.contracts), going_on))


def marts(months: str) -> None:
    """Loads the first launch's months and builds their marts, and notes that the launch is at its end."""
    from infra.launch import first_data

    settings = load_settings()
    if first_data.launched(settings):
        return
    if _months(months):
        say(f"marts {first_data.build_marts(settings)}")
    first_data.record_launch(settings, _months(months))


def settings() -> None:
    """Prints the lines that a settings file needs besides those that come in; none when it is complete."""
    text = sys.stdin.read()
    sys.stdout.write(complete(text or None).removeprefix(text))


def addresses(file: str) -> None:
    """Prints where everything is, for a person who has the passwords in ``file``."""
    from infra.launch import launch

    for line in launch.addresses(load_settings(), Path(file)):
        say(line)


def _months(text: str) -> int:
    from infra.launch.first_data import check_months

    try:
        months = int(text)
    except ValueError:
        raise SluiceError(f"MONTHS={text} is no number", "give one from 0 to 12") from None
    check_months(months)
    return months


STEPS: dict[str, Callable[..., None]] = {
    step.__name__: step for step in (healthy, init, fill, marts, settings, addresses)
}
"""By name; each takes its arguments as words."""
