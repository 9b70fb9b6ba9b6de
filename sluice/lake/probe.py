"""Checks that the store has conditional writes, on which Delta's commits rely."""

from datetime import timedelta

import urllib3
from minio.error import MinioException

from sluice.errors import TerminalError
from sluice.lake.bucket import client, http_pool, minio_error
from sluice.settings import Settings

PROBE = "_probe/create-once"
"""The object that the probe creates twice. The name is fixed, so that only one object is left behind."""

CONFLICTS = (409, 412)
"""How a store answers if the object exists already, or is being created."""


def require_create_once(settings: Settings) -> None:
    """Creates the same object twice, as the lake's writer, and requires the store to reject the second request.

    Raises:
        TerminalError: the store accepts both, so that two writers could commit the same version and one commit would
            be lost; or the store rejects the writer.
        TransientError: the store is down.
    """
    try:
        url = client(settings, "writer").presigned_put_object(settings.lake_bucket, PROBE, timedelta(minutes=5))
        # The first may conflict with the object of an earlier start.
        first, second = create_once(settings, url, b""), create_once(settings, url, b"")
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error
    for response in (first, second):
        if not response.status < 300 and response.status not in CONFLICTS:
            text = response.data.decode("utf-8", "replace")
            raise minio_error(settings, MinioException(f"status {response.status} for the probe: {text}"))
    if second.status not in CONFLICTS:
        raise TerminalError(
            f"{settings.lake_store}, bucket {settings.lake_bucket}: the store overwrote an existing object: it has "
            "no conditional writes (If-None-Match)",
            "use a store with conditional writes; otherwise commits can overwrite each other and events are lost",
        )


def create_once(settings: Settings, url: str, body: bytes) -> urllib3.BaseHTTPResponse:
    """Creates an object at a presigned URL unless it exists; returns the response."""
    with http_pool(settings, retries=0) as pool:
        return pool.request("PUT", url, body=body, headers={"If-None-Match": "*"})
