"""The table of services: everything else (start order, configuration, status, logs) is derived from it."""

import sys

from infra.servers import probes
from infra.servers.airflow import API_SERVER, CLEANER, DAG_PROCESSOR, QUEUEING_SCHEDULER, SCHEDULER, TRIGGERER, worker
from infra.servers.kafka import KAFKA
from infra.servers.minio import MINIO
from infra.servers.postgres import POSTGRES
from infra.servers.redis import REDIS
from infra.servers.service import Service
from sluice.settings import Settings

SINK = Service(
    name="sink",
    needs=("kafka", "minio", "topics", "lake"),
    command=lambda _: [sys.executable, "-m", "sluice.sink"],
    secrets=("lake_writer_password",),
    ports=("sink_port",),
    healthy=lambda settings: probes.http_ok(settings.sink_host, settings.sink_port, "/health"),
)
LIVE = Service(
    name="live",
    needs=("kafka", "postgres", "topics", "warehouse"),
    command=lambda _: [sys.executable, "-m", "flights.live_view"],
    secrets=("live_password",),
    healthy=probes.live,
)
DASHBOARD = Service(
    name="dashboard",
    needs=("postgres", "warehouse"),
    command=lambda _: [sys.executable, "-m", "dashboard"],
    secrets=("reader_password",),
    ports=("dashboard_port",),
    healthy=lambda settings: probes.http_ok(settings.dashboard_host, settings.dashboard_port, "/health"),
)
PRODUCER = Service(
    name="producer",
    needs=("kafka", "topics"),
    command=lambda _: [sys.executable, "-m", "producers", "live"],
    # It serves nobody; the supervisor's word that it runs is what there is.
    healthy=lambda _: None,
)

SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        KAFKA,
        POSTGRES,
        MINIO,
        SINK,
        LIVE,
        API_SERVER,
        SCHEDULER,
        DAG_PROCESSOR,
        TRIGGERER,
        CLEANER,
        DASHBOARD,
        PRODUCER,
    )
}
"""Every service by name, in the order in which they are shown."""
WORKER = worker("airflow-worker")
"""The one worker of a machine, or of a container."""


def services(settings: Settings) -> dict[str, Service]:
    """The services that the settings ask for: with CeleryExecutor there are also Redis and workers."""
    if settings.airflow_executor == "LocalExecutor":
        return SERVICES
    workers = [worker(name, name) for n in range(settings.airflow_workers) for name in [f"{WORKER.name}-{n + 1}"]]
    return SERVICES | {service.name: service for service in (QUEUEING_SCHEDULER, REDIS, *workers)}


def find(name: str, settings: Settings) -> Service | None:
    """A service by its name, also the worker that shares its machine with no other."""
    return WORKER if name == WORKER.name else services(settings).get(name)
