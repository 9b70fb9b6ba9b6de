"""`make up`: from nothing, or from whatever is there already, to a platform that runs and whose marts show the data."""

import calendar
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from sluice.cli.batch import run_loads, run_transform
from sluice.contracts import Contract, load_contracts
from sluice.errors import SluiceError
from sluice.runtime.airflow import ADMIN, SCHEDULER
from sluice.runtime.commands import last_lines, run_logged
from sluice.runtime.environment import ensure_environment
from sluice.runtime.first_steps import fill_lake, first_steps
from sluice.runtime.install import install_steps
from sluice.runtime.minio import ROOT_USER
from sluice.runtime.platform import Platform
from sluice.runtime.ports import check_ports
from sluice.runtime.service import environment
from sluice.runtime.services import PRODUCER, SERVICES
from sluice.runtime.steps import Report, Step, run_steps, say
from sluice.settings import ROOT, Settings, env_file, load_settings

YEAR = 2013
"""The year that the real input covers."""
AIRFLOW = tuple(name for name in SERVICES if name.startswith("airflow-"))


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
    if not 0 <= months <= 12:
        raise SluiceError(
            f"MONTHS={months} is not possible", f"the data has the 12 months of {YEAR}; 0 replays nothing"
        )
    if ensure_environment(env_file()):
        report(f"settings: {env_file()} has the ports and secrets")
    settings = load_settings()
    contracts = load_contracts(settings.contracts)
    platform = Platform(settings, env_file(), report)
    ports = [port for service in SERVICES.values() for port in service.ports]
    check_ports(settings, ports, env_file())
    run_steps(_steps(platform, contracts, months, live), report)
    for line in _addresses(settings):
        report(line)
    report(f"the platform is up ({time.monotonic() - start:.0f} s)")


def _steps(platform: Platform, contracts: Mapping[str, Contract], months: int, live: bool) -> list[Step]:
    settings = platform.settings
    steps = [platform.supervise(), *install_steps(settings), *first_steps(platform, contracts)]
    known = {*SERVICES, *(step.name for step in steps)}
    launched = settings.home / "launched.json"
    before: dict[str, tuple[str, ...]] = {}
    if not launched.exists():
        steps += _first_data(platform, contracts, months, launched)
        # A lake that fills would be loaded in many bites, each with a transform.
        before = {SCHEDULER.name: ("lake filled",), PRODUCER.name: ("first launch",)}
    for service in SERVICES.values():
        if live or service is not PRODUCER:
            steps.append(platform.step(service, known, before.get(service.name, ())))
    return [*steps, _off([] if live else [PRODUCER.name], platform)]


def _off(names: list[str], platform: Platform) -> Step:
    def run(_: threading.Event) -> None:
        platform.leave_off(names)

    return Step("what is left off", run, ("supervisor",))


def _first_data(platform: Platform, contracts: Mapping[str, Contract], months: int, launched: Path) -> list[Step]:
    settings = platform.settings
    last = date(YEAR, max(months, 1), calendar.monthrange(YEAR, max(months, 1))[1])

    def replay(cancelled: threading.Event) -> str:
        log = settings.home / "logs" / "replay.log"
        command = [sys.executable, "-m", "producers", "replay", f"--from={YEAR}-01-01", f"--to={last}"]
        run_logged(command, log, environment=environment(PRODUCER, settings), folder=ROOT, cancelled=cancelled)
        return last_lines(log, 1).strip()

    def lake(cancelled: threading.Event) -> str:
        return f"{fill_lake(platform, contracts, cancelled):,} records"

    def quiet(_: str) -> None:
        """Their own progress is in Airflow's logs; this command says a line per step."""

    def marts(_: threading.Event) -> str:
        run_loads(settings, show=quiet)
        run_transform(settings, show=quiet)
        return "built"

    def record(_: threading.Event) -> None:
        draft = launched.with_suffix(".new")
        draft.write_text(json.dumps({"months": months, "through": str(last) if months else None}))
        draft.replace(launched)

    if not months:
        return [Step("lake filled", lake, ("sink",)), Step("first launch", record, AIRFLOW)]
    return [
        Step("replay", replay, ("topics",), announce=f"{YEAR}-01-01 to {last}"),
        Step("lake filled", lake, ("replay", "sink")),
        Step("marts", marts, ("lake filled", *AIRFLOW), announce="loads and transform"),
        Step("first launch", record, ("marts",)),
    ]


def _addresses(settings: Settings) -> list[str]:
    file = env_file()
    secrets = os.path.relpath(file) if file.is_relative_to(ROOT) else str(file)
    rows = [
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
