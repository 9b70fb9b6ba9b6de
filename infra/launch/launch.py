"""`make up`: from an empty machine or a partial launch to a running platform whose marts hold the data."""

import os
import threading
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from infra.config.ports import check_ports
from infra.config.settings_file import ensure_settings_file
from infra.install.installs import install_steps
from infra.install.permissions import check_protection
from infra.launch import first_data
from infra.launch.provisioning import Provisioning
from infra.processes.steps import Report, Step, print_line, run_steps
from infra.servers.airflow import ADMIN, SCHEDULER, TRIGGERER
from infra.servers.minio import ROOT_USER
from infra.servers.prometheus import PROMETHEUS
from infra.servers.services import DASHBOARD, LIVE, PRODUCER, services
from infra.servers.spark import SPARK
from infra.supervision.platform import Platform
from sluice.contracts import Contract, load_contracts
from sluice.errors import SluiceError
from sluice.settings import LOOPBACK, ROOT, Settings, env_file, load_settings
from sluice.warehouse.connect import warehouse_server

INGEST = "lake ingest"
LAUNCH_RECORD = "launch record"
_LATER = (TRIGGERER.name, LIVE.name, DASHBOARD.name)
"""The services that wait for the first data on the first launch."""


def up(months: int | None, live: bool, observe: bool = False, spark: bool = False, report: Report = print_line) -> None:
    """Brings the platform up; idempotent.

    Args:
        months: how many months of the year the first launch replays, 0 to 12; None for the default. Later launches
            replay nothing, and say so if another number is given.
        live: whether the live producer runs afterwards.
        observe: whether Prometheus runs.
        spark: whether Spark runs.
        report: receives one line per step.

    Raises:
        SluiceError: a port is taken, or a step failed.
    """
    start = time.monotonic()
    if months is not None:
        first_data.check_months(months)
    _check_protection(load_settings(), report)
    if ensure_settings_file(env_file()):
        report(f"settings: ports and secrets written to {env_file()}")
    settings = load_settings()
    for name in settings.needed_secrets:
        settings.secret(name)
    contracts = load_contracts(settings.contracts)
    ignored = first_data.ignored_months(settings, months)
    for line in (*ignored, *contracts.warnings()):
        report(line)
    platform = Platform(settings, env_file(), report)
    off = [
        *([] if live else [PRODUCER.name]),
        *([] if observe else [PROMETHEUS.name]),
        *([] if spark else [service.name for service in SPARK]),
    ]
    ports = [port for service in platform.services.values() if service.name not in off for port in service.ports]
    check_ports(settings, ports, env_file())
    provisioning = Provisioning(settings, contracts, spark)
    replayed = first_data.months_to_replay(settings, months)
    run_steps(_steps(platform, provisioning, contracts, replayed, off), report)
    # Again, where they are not overlooked.
    table = addresses(settings, env_file(), observe, spark)
    for line in (*table, *ignored, *contracts.warnings(), *provisioning.warnings()):
        report(line)
    report(f"the platform is up ({time.monotonic() - start:.0f} s)")


def _check_protection(settings: Settings, report: Report) -> None:
    finding = check_protection(settings, env_file())
    error = SluiceError(finding.found, finding.hint)
    if finding.status == "error":
        raise error
    if finding.status == "warning":
        report(f"warning: {error}")


def _steps(
    platform: Platform,
    provisioning: Provisioning,
    contracts: Mapping[str, Contract],
    months: int,
    off: Collection[str],
) -> list[Step]:
    settings = platform.settings

    def restart_sink() -> None:
        # The sink reads the list of topics only on start. Its own step starts it again.
        platform.supervisor.stop("sink")

    steps = [
        platform.supervisor_step(),
        *install_steps(settings, observe=PROMETHEUS.name not in off, spark=SPARK[0].name not in off),
        *provisioning.steps(restart_sink, platform.report),
    ]
    known = {*platform.services, *(step.name for step in steps)}
    extra_needs: dict[str, tuple[str, ...]] = {}
    if not first_data.is_launched(settings):
        steps += _first_data_steps(settings, contracts, months, platform.report)
        # During the ingest the scheduler would run many small loads, each followed by a transform.
        extra_needs = {SCHEDULER.name: (INGEST,), PRODUCER.name: (LAUNCH_RECORD,)}
        # The first data needs none of these, and MinIO, which it waits for, is built by all processors.
        extra_needs |= dict.fromkeys(_LATER, (SCHEDULER.name,))
    for service in platform.services.values():
        if service.name not in off:
            steps.append(platform.service_step(service, known, extra_needs.get(service.name, ())))
    return [*steps, _disable_step(off, platform)]


def _disable_step(names: Collection[str], platform: Platform) -> Step:
    def run(_: threading.Event) -> None:
        platform.disable(names)

    return Step("disabled services", run, ("supervisor",))


def _first_data_steps(settings: Settings, contracts: Mapping[str, Contract], months: int, report: Report) -> list[Step]:
    ingested: datetime | None = None

    def replay(cancelled: threading.Event) -> str:
        return first_data.replay(settings, months, cancelled, report)

    def ingest(cancelled: threading.Event) -> str:
        nonlocal ingested
        records = first_data.wait_for_ingest(settings, contracts, cancelled)
        ingested = datetime.now(UTC)
        return records

    def marts(cancelled: threading.Event) -> str:
        return first_data.build_marts(settings, cancelled, ingested)

    def record(_: threading.Event) -> None:
        first_data.record_launch(settings, months)

    airflow = tuple(name for name in services(settings) if name.startswith("airflow-") and name not in _LATER)
    if not months:
        return [Step(INGEST, ingest, ("sink",)), Step(LAUNCH_RECORD, record, airflow)]
    dates = f"{first_data.YEAR}-01-01 to {first_data.last_day(months)}"
    return [
        Step("replay", replay, ("topics",), announce=dates),
        Step(INGEST, ingest, ("replay", "sink")),
        Step("marts", marts, (INGEST, *airflow), announce="loads and transform"),
        Step(LAUNCH_RECORD, record, ("marts",)),
    ]


def addresses(settings: Settings, file: Path, observe: bool = False, spark: bool = False) -> list[str]:
    """Returns a printable table of the servers' addresses and users.

    Args:
        settings: the addresses.
        file: where the passwords are.
        observe: whether Prometheus runs.
        spark: whether Spark runs.
    """
    secrets_file = os.path.relpath(file) if file.is_relative_to(ROOT) else str(file)
    rows = [
        ("Dashboard", f"http://{LOOPBACK}:{settings.dashboard_port}", "", ""),
        ("Airflow", settings.airflow, ADMIN, "SLUICE_AIRFLOW_ADMIN_PASSWORD"),
        ("S3", settings.s3_endpoint, settings.lake_reader_access_key, "")
        if settings.s3_endpoint
        else (
            "MinIO",
            f"http://{settings.minio_host}:{settings.minio_console_port}",
            ROOT_USER,
            "SLUICE_MINIO_ROOT_PASSWORD",
        ),
        (
            "Postgres",
            f"{warehouse_server(settings).address}/{settings.warehouse}",
            "sluice_reader",
            "SLUICE_READER_PASSWORD",
        ),
        ("Kafka", settings.kafka, settings.kafka_user, ""),
        *([("Metrics", f"http://{LOOPBACK}:{settings.prometheus_port}", "", "")] if observe else []),
        *([("Spark", f"http://{settings.spark_host}:{settings.spark_ui_port}", "", "")] if spark else []),
    ]
    lines = ["", f"{'':10}{'address':36}{'user':16}password (in {secrets_file})"]
    return [
        *lines,
        *(f"{name:10}{address:36}{user:16}{password}".rstrip() for name, address, user, password in rows),
        "",
    ]
