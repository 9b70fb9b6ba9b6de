"""`make up`: from nothing, or from whatever is there already, to a platform that runs and whose marts show the data."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from infra.config.ports import check_ports
from infra.config.settings_file import ensure_environment
from infra.install.installs import install_steps
from infra.launch import first_data
from infra.launch.provisioning import first_steps
from infra.processes.steps import Report, Step, run_steps, say
from infra.servers.airflow import ADMIN, SCHEDULER
from infra.servers.minio import ROOT_USER
from infra.servers.services import PRODUCER, services
from infra.supervision.platform import Platform
from sluice.contracts import Contract, load_contracts
from sluice.settings import LOOPBACK, ROOT, Settings, env_file, load_settings


def up(months: int, live: bool, report: Report = say) -> None:
    """Brings the platform up; harmless when it is up already.

    Args:
        months: how many months of the year the first launch replays, 0 to 12. Later launches replay nothing.
        live: whether the going-on producer runs afterwards.
        report: takes a line per step.

    Raises:
        SluiceError: a port is taken, or a step failed.
    """
    start = time.monotonic()
    first_data.check_months(months)
    if ensure_environment(env_file()):
        report(f"settings: {env_file()} has the ports and secrets")
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    platform = Platform(settings, env_file(), report)
    ports = [port for service in platform.services.values() for port in service.ports]
    check_ports(settings, ports, env_file())
    run_steps(_steps(platform, contracts, months, live), report)
    for line in addresses(settings, env_file()):
        report(line)
    report(f"the platform is up ({time.monotonic() - start:.0f} s)")


def _steps(platform: Platform, contracts: Mapping[str, Contract], months: int, live: bool) -> list[Step]:
    settings = platform.settings

    def restart_sink() -> None:
        # It reads the list of its topics when it starts, which its own step does now.
        platform.supervisor.stop("sink")

    steps = [platform.supervise(), *install_steps(settings), *first_steps(settings, contracts, restart_sink)]
    known = {*platform.services, *(step.name for step in steps)}
    before: dict[str, tuple[str, ...]] = {}
    if not first_data.launched(settings):
        steps += _first_data(settings, contracts, months)
        # A lake that fills would be loaded in many bites, each with a transform.
        before = {SCHEDULER.name: ("lake filled",), PRODUCER.name: ("first launch",)}
    for service in platform.services.values():
        if live or service is not PRODUCER:
            steps.append(platform.step(service, known, before.get(service.name, ())))
    return [*steps, _off([] if live else [PRODUCER.name], platform)]


def _off(names: list[str], platform: Platform) -> Step:
    def run(_: threading.Event) -> None:
        platform.leave_off(names)

    return Step("what is left off", run, ("supervisor",))


def _first_data(settings: Settings, contracts: Mapping[str, Contract], months: int) -> list[Step]:
    def replay(cancelled: threading.Event) -> str:
        return first_data.replay(settings, months, cancelled)

    def lake(cancelled: threading.Event) -> str:
        return first_data.fill_lake(settings, contracts, cancelled)

    def marts(_: threading.Event) -> str:
        return first_data.build_marts(settings)

    def record(_: threading.Event) -> None:
        first_data.record_launch(settings, months)

    airflow = tuple(name for name in services(settings) if name.startswith("airflow-"))
    if not months:
        return [Step("lake filled", lake, ("sink",)), Step("first launch", record, airflow)]
    dates = f"{first_data.YEAR}-01-01 to {first_data.last_day(months)}"
    return [
        Step("replay", replay, ("topics",), announce=dates),
        Step("lake filled", lake, ("replay", "sink")),
        Step("marts", marts, ("lake filled", *airflow), announce="loads and transform"),
        Step("first launch", record, ("marts",)),
    ]


def addresses(settings: Settings, file: Path) -> list[str]:
    """Where everything is and who may enter, as lines for a person; ``file`` is where the passwords are."""
    secrets = os.path.relpath(file) if file.is_relative_to(ROOT) else str(file)
    rows = [
        ("Dashboard", f"http://{LOOPBACK}:{settings.dashboard_port}", "", ""),
        ("Airflow", settings.airflow, ADMIN, "SLUICE_AIRFLOW_ADMIN_PASSWORD"),
        (
            "MinIO",
            f"http://{settings.minio_host}:{settings.minio_console_port}",
            ROOT_USER,
            "SLUICE_MINIO_ROOT_PASSWORD",
        ),
        (
            "Postgres",
            f"{settings.postgres_host}:{settings.postgres_port}/{settings.warehouse}",
            "sluice_reader",
            "SLUICE_READER_PASSWORD",
        ),
        ("Kafka", settings.kafka, "", ""),
    ]
    lines = ["", f"{'':10}{'address':36}{'user':16}password (in {secrets})"]
    return [
        *lines,
        *(f"{name:10}{address:36}{user:16}{password}".rstrip() for name, address, user, password in rows),
        "",
    ]
