"""The servers that the platform uses but does not run: it only probes them."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

from infra.servers.service import Service
from sluice.errors import SluiceError
from sluice.settings import Settings
from sluice.warehouse.connect import Role, can_provision, connect, warehouse_server

WAREHOUSE = "postgres-warehouse"
"""The name of an external Postgres, beside the platform's own, which has Airflow's metadata."""


def external_services(settings: Settings) -> dict[str, Service]:
    """Returns an entry for each external server, by the name of the platform's own server that it replaces."""
    found: list[tuple[str, Callable[[Settings], str | None]]] = []
    if settings.kafka_bootstrap:
        found.append(("kafka", probe_kafka))
    if settings.s3_endpoint:
        found.append(("minio", probe_store))
    if settings.warehouse_host:
        found.append((WAREHOUSE, probe_warehouse))
    return {name: Service(name=name, command=lambda _: [], check_health=probe, external=True) for name, probe in found}


def address(service: Service, settings: Settings) -> str:
    """Returns the address of an external server, for a person."""
    addresses = {"kafka": settings.kafka, "minio": settings.s3_endpoint}
    return addresses.get(service.name) or warehouse_server(settings).address


def probe_kafka(settings: Settings) -> str | None:
    """Connects with the platform's credentials; returns None if that works, otherwise the reason why not."""
    from sluice.kafka.diagnosis import connection_fault

    try:
        fault = connection_fault(settings)
    except SluiceError as error:
        fault = error
    return str(fault) if fault else None


def probe_store(settings: Settings) -> str | None:
    """Requests the store's root without credentials; returns None if it answers at all, or why not."""
    context = ssl.create_default_context(cafile=settings.s3_ca_file) if settings.s3_ca_file else None
    try:
        with urllib.request.urlopen(settings.s3_endpoint, timeout=8, context=context):  # noqa: S310 - http or https
            return None
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return f"no response from {settings.s3_endpoint}: {getattr(error, 'reason', error)}"


def probe_warehouse(settings: Settings) -> str | None:
    """Logs in as the administrator, or as the reader if the platform has no administrator; returns the error, or None.

    The database may not exist yet.
    """
    role: Role = "postgres" if can_provision(settings) else "reader"
    try:
        connect(settings, role).close()
    except SluiceError as error:
        missing = role == "postgres" and f'database "{settings.warehouse}" does not exist' in error.message
        return None if missing else str(error)
    return None
