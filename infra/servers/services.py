"""The table of services, from which start order, configuration, status and logs are derived."""

import sys

from infra.servers import probes
from infra.servers.airflow import API_SERVER, CELERY_SCHEDULER, CLEANER, DAG_PROCESSOR, SCHEDULER, TRIGGERER, worker
from infra.servers.external import external_services
from infra.servers.kafka import KAFKA
from infra.servers.minio import MINIO
from infra.servers.postgres import POSTGRES
from infra.servers.prometheus import PROMETHEUS
from infra.servers.redis import REDIS
from infra.servers.service import Service
from infra.servers.spark import SPARK
from sluice.settings import Settings

SINK = Service(
    name="sink",
    needs=("kafka", "minio", "topics", "lake", "removed contracts"),
    command=lambda _: [sys.executable, "-m", "sluice.sink"],
    secrets=("lake_writer_password", "kafka_password"),
    ports=("sink_port",),
    check_health=lambda settings: probes.http_ok(settings.sink_host, settings.sink_port, "/health"),
    notice=probes.sink_notice,
)
LIVE = Service(
    name="live",
    needs=("kafka", "postgres", "topics", "warehouse"),
    command=lambda _: [sys.executable, "-m", "flights.live_view"],
    secrets=("live_password", "kafka_password", "schema_registry_password"),
    ports=("live_port",),
    check_health=probes.live,
)
DASHBOARD = Service(
    name="dashboard",
    needs=("postgres", "warehouse"),
    command=lambda _: [sys.executable, "-m", "dashboard"],
    secrets=("reader_password", "kafka_password"),
    ports=("dashboard_port",),
    check_health=lambda settings: probes.http_ok(settings.dashboard_host, settings.dashboard_port, "/health"),
)
PRODUCER = Service(
    name="producer",
    needs=("kafka", "topics"),
    command=lambda _: [sys.executable, "-m", "producers", "live"],
    secrets=("kafka_password",),
    # Arrow's own allocator would keep 60 MiB that reading the year's file has freed.
    environment=lambda _: {"ARROW_DEFAULT_MEMORY_POOL": "system"},
    # It has no endpoint; that it runs is all that can be checked.
    check_health=lambda _: None,
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
        PROMETHEUS,
        *SPARK,
    )
}
"""Every service by name, in display order."""
WORKER = worker("airflow-worker")
"""The single worker of a machine or container."""


def services(settings: Settings) -> dict[str, Service]:
    """Returns the services that the settings require; with CeleryExecutor these include Redis and the workers.

    An external server takes the place of the platform's own.
    """
    external = external_services(settings)
    if settings.airflow_executor == "LocalExecutor":
        return SERVICES | external
    workers = [worker(name, name) for n in range(settings.airflow_workers) for name in [f"{WORKER.name}-{n + 1}"]]
    return SERVICES | {service.name: service for service in (CELERY_SCHEDULER, REDIS, *workers)} | external


def find_service(name: str, settings: Settings) -> Service | None:
    """Returns a service by name, including the single worker of a machine; None if there is none."""
    return WORKER if name == WORKER.name else services(settings).get(name)
