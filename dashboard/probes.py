"""Whether servers answer, and what the sink reports.

With the standard library: an HTTP client with all that it imports would be a tenth of the dashboard's memory.
"""

import ssl
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import certifi
from prometheus_client.parser import text_string_to_metric_families

from sluice.kafka.groups import SINK_GROUP_METRIC
from sluice.settings import Settings

TIMEOUT_SECONDS = 8.0


def probes(settings: Settings) -> dict[str, Callable[[], str | None]]:
    """Returns, per server, what tells why it counts as down; None while it is up.

    Kafka is probed for offsets, Postgres by the pages themselves.
    """
    return {
        **(
            {"S3": partial(_external_store_failure, settings)}
            if settings.s3_endpoint
            else {"MinIO": partial(_failure, f"http://{settings.minio}/minio/health/cluster")}
        ),
        "Sink": partial(_failure, f"http://{settings.sink_host}:{settings.sink_port}/health"),
        "Airflow": partial(_failure, f"{settings.airflow}/api/v2/version"),
    }


def sink_group(settings: Settings) -> str | None:
    """Returns the consumer group that the sink reports; None while it is down."""
    try:
        _, text = _get(f"http://{settings.sink_host}:{settings.sink_port}/metrics")
    except (OSError, HTTPException):
        return None
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((sample.labels.get("group") for sample in samples if sample.name == f"{SINK_GROUP_METRIC}_info"), None)


def _failure(url: str) -> str | None:
    """Returns why a server counts as down; None if its health URL returns 200."""
    try:
        status, _ = _get(url)
    except (OSError, HTTPException) as error:
        return f"no response from {url}: {_cause(error)}"
    return None if status == HTTPStatus.OK else f"{url} returns status {status}"


def _external_store_failure(settings: Settings) -> str | None:
    """Returns why a store counts as down; None if it answers at all: each kind has another health URL, or none."""
    try:
        _get(settings.s3_endpoint, settings.s3_ca_file)
    except (OSError, HTTPException) as error:
        return f"no response from {settings.s3_endpoint}: {_cause(error)}"
    return None


def _get(url: str, ca_file: object = None) -> tuple[int, str]:
    """Requests a URL, without a proxy that the environment may name; returns status and text."""
    context = ssl.create_default_context(cafile=str(ca_file or certifi.where())) if url.startswith("https") else None
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except HTTPError as error:
        return error.code, ""


def _cause(error: OSError | HTTPException) -> str:
    """Returns the cause without urllib's wrapping."""
    return str(getattr(error, "reason", error)) or type(error).__name__
