"""The lake's id: created with the lake and never changed, whatever address the lake is reached at."""

import uuid
from datetime import timedelta

import urllib3
from minio.error import MinioException

from sluice.lake.bucket import client, minio_error
from sluice.lake.probe import CONFLICTS, create_once
from sluice.settings import Settings

IDENTITY = "_identity/lake"
"""The object that holds the id. Being in the bucket, it moves with the lake."""


def ensure_lake_id(settings: Settings) -> str:
    """Returns the lake's id, and creates it if there is none. Safe to call concurrently.

    Args:
        settings: with the password of the lake's writer.

    Raises:
        TransientError: the store is down.
        TerminalError: the store rejects the writer.
    """
    writer = client(settings, "writer")
    try:
        url = writer.presigned_put_object(settings.lake_bucket, IDENTITY, timedelta(minutes=5))
        created = create_once(settings, url, uuid.uuid4().hex.encode())
        if not created.status < 300 and created.status not in CONFLICTS:
            text = created.data.decode("utf-8", "replace")
            raise MinioException(f"status {created.status} for {IDENTITY}: {text}")
        stored = writer.get_object(settings.lake_bucket, IDENTITY)
        try:
            return str(stored.read().decode())
        finally:
            stored.close()
            stored.release_conn()
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error
