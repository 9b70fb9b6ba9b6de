"""The table of services: everything else (start order, configuration, status, logs) is derived from it."""

from sluice.runtime.kafka import KAFKA
from sluice.runtime.minio import MINIO
from sluice.runtime.postgres import POSTGRES
from sluice.runtime.service import Service

SERVICES: dict[str, Service] = {service.name: service for service in (KAFKA, POSTGRES, MINIO)}
"""Every service by name, in the order in which they are shown."""
