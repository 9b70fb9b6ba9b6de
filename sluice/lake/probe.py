"""What the lake needs of its store: that it refuses to create an object that is there. Delta's commits rest on it."""

from datetime import timedelta

import urllib3
from minio.error import MinioException

from sluice.errors import TerminalError
from sluice.lake.bucket import client, refusal
from sluice.settings import Settings

PROBE = "_probe/create-once"
"""The object that is created twice. Its name is always the same, so that one object is all that is left of it."""

_REFUSED = (409, 412)
_TIMEOUT = urllib3.Timeout(connect=3, read=20)


def require_create_once(settings: Settings) -> None:
    """Has the store create the same object twice, as the lake's writer.

    Raises:
        TerminalError: it accepts the second one: two writers could commit the same version, and one of them be lost;
            or it refuses the writer.
        TransientError: it does not answer.
    """
    try:
        url = client(settings, "writer").presigned_put_object(settings.lake_bucket, PROBE, timedelta(minutes=5))
        with urllib3.PoolManager(timeout=_TIMEOUT, retries=False) as pool:
            # The first may find it there from an earlier start.
            first, second = _create(pool, url), _create(pool, url)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise refusal(settings, error) from error
    for answer in (first, second):
        if not answer.status < 300 and answer.status not in _REFUSED:
            text = answer.data.decode("utf-8", "replace")
            raise refusal(settings, MinioException(f"status {answer.status} to a probe: {text}"))
    if second.status not in _REFUSED:
        raise TerminalError(
            f"MinIO at {settings.minio}, bucket {settings.lake_bucket}: the store creates an object that is there "
            "again: it has no conditional writes (If-None-Match)",
            "use a store that has: commits could overwrite each other, and events be lost",
        )


def _create(pool: urllib3.PoolManager, url: str) -> urllib3.BaseHTTPResponse:
    return pool.request("PUT", url, body=b"", headers={"If-None-Match": "*"})
