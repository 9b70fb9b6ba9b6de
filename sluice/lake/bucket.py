"""The lake's bucket, its users and their permissions; on request, those of the tables that Spark builds."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings
from sluice.settings.external_servers import USERS, User

ROOT_USER = "sluice-root"

_READ = ["s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject"]
_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_ACTIONS: dict[User, list[str]] = {
    "writer": [*_READ, *_WRITE],
    "reader": _READ,
    "keeper": [*_READ, *_WRITE, "s3:DeleteObject"],
}
Owner = User | Literal["root", "lakehouse"]
"""Each has a pair of keys: the users of the lake, the administrator, and Spark's programs."""
EXTERNAL_HINT = "check the SLUICE_S3_… settings: endpoint, region, keys and CA file"
_WRONG_CREDENTIALS = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def credentials(settings: Settings, owner: Owner) -> tuple[str, str]:
    """Returns a pair of keys: the access key and the secret key.

    Raises:
        TerminalError: this process was not given the secret key, or an external store's keys are not set.
    """
    if owner == "root":
        return ROOT_USER, settings.secret("minio_root_password")
    name = owner if owner == "lakehouse" else f"lake_{owner}"
    access_key: str = getattr(settings, f"{name}_access_key") if settings.s3_endpoint else f"sluice-{owner}"
    if not access_key:
        # Every other key is checked when the settings are read: only Spark's programs need this one.
        message = f"the setting SLUICE_{name.upper()}_ACCESS_KEY is missing, and there is no SLUICE_S3_ACCESS_KEY"
        raise TerminalError(message, f"set it and SLUICE_{name.upper()}_PASSWORD in .env")
    return access_key, settings.secret(f"{name}_password")


def client(settings: Settings, owner: Owner) -> Minio:
    """Returns a client of the store for an owner of keys, with timeouts of seconds; the library's are minutes."""
    name, password = credentials(settings, owner)
    scheme, _, address = settings.lake_endpoint.partition("://")
    return Minio(
        endpoint=address,
        access_key=name,
        secret_key=password,
        secure=scheme == "https",
        region=settings.s3_region if settings.s3_endpoint else None,
        http_client=http_pool(settings),
    )


def admin(settings: Settings) -> MinioAdmin:
    """Returns a client of the platform's own MinIO that manages users and their rights."""
    return MinioAdmin(
        endpoint=settings.minio,
        credentials=StaticProvider(*credentials(settings, "root")),
        secure=False,
        http_client=http_pool(settings),
    )


def policy(bucket: str, user: User) -> dict[str, Any]:
    """Returns what a user may do with a bucket, as a document of S3's policy language."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Allow", "Action": _ACTIONS[user], "Resource": resources}
    return {"Version": "2012-10-17", "Statement": [statement]}


def lakehouse_policy(settings: Settings) -> dict[str, Any]:
    """Returns what Spark's programs may do: read the lake, and read, write and delete in the bucket of their tables."""
    lake, tables = policy(settings.lake_bucket, "reader"), policy(settings.warehouse_bucket, "keeper")
    return {**tables, "Statement": [*lake["Statement"], *tables["Statement"]]}


def http_pool(settings: Settings, retries: int = 2) -> urllib3.PoolManager:
    """Returns a pool of connections to the store, which trusts the authorities that the settings name."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=3, read=20),
        retries=urllib3.Retry(total=retries) if retries else False,
        ca_certs=str(settings.s3_ca_file) if settings.s3_ca_file else None,
    )


def provision(settings: Settings) -> None:
    """Creates the bucket and one user per service, each with the least privileges it needs. Idempotent.

    In an external store, the users are its administrator's: only the bucket is created, if it does not exist.

    Raises:
        TransientError: the store is down.
        TerminalError: it rejects the root user's password, or a user of an external store has not the rights it needs.
    """
    if settings.s3_endpoint:
        _provision_external(settings)
    else:
        _provision_own(settings)


def provision_lakehouse(settings: Settings) -> None:
    """Creates the bucket of the tables that Spark builds, and the user of Spark's programs. Idempotent.

    In an external store, the user is its administrator's: only the bucket is created, if it does not exist.

    Raises:
        TransientError: the store is down.
        TerminalError: it rejects the root user's password, or an external store's user has not the rights it needs.
    """
    bucket = settings.warehouse_bucket
    if settings.s3_endpoint:
        with _external_errors(settings, bucket):
            _create_external(settings, bucket, "lakehouse")
    else:
        with _own_errors(settings, bucket):
            _create(client(settings, "root"), bucket)
            _add_user(settings, "lakehouse", lakehouse_policy(settings))


def _provision_external(settings: Settings) -> None:
    bucket = settings.lake_bucket
    with _external_errors(settings, bucket):
        # Listed as each user, so that a wrong key is reported now; an answer to a HEAD request would not say why.
        _create_external(settings, bucket, "writer")
        for user in USERS:
            next(iter(client(settings, user).list_objects(bucket_name=bucket)), None)


def _create_external(settings: Settings, bucket: str, owner: Owner) -> None:
    store = client(settings, owner)
    try:
        next(iter(store.list_objects(bucket_name=bucket)), None)
    except S3Error as error:
        if error.code != "NoSuchBucket":
            raise
        store.make_bucket(bucket_name=bucket)


@contextmanager
def _external_errors(settings: Settings, bucket: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code != "AccessDenied":
            raise minio_error(settings, error, bucket) from error
        raise TerminalError(
            f"{settings.lake_store}, bucket {bucket}: the store denies access: {error.message}",
            "ask its administrator to create the bucket, and for the rights that docs/how-to/external-servers.md lists",
        ) from error
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error, bucket) from error


def _provision_own(settings: Settings) -> None:
    bucket = settings.lake_bucket
    with _own_errors(settings, bucket):
        _create(client(settings, "root"), bucket)
        for user in USERS:
            _add_user(settings, user, policy(bucket, user))


@contextmanager
def _own_errors(settings: Settings, bucket: str) -> Iterator[None]:
    try:
        yield
    except (S3Error, MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error, bucket) from error


def _create(root: Minio, bucket: str) -> None:
    if not root.bucket_exists(bucket_name=bucket):
        root.make_bucket(bucket_name=bucket)


def _add_user(settings: Settings, owner: Owner, rights: dict[str, Any]) -> None:
    """Creates a user of the platform's own MinIO, or changes its password and rights."""
    own = admin(settings)
    key, secret = credentials(settings, owner)
    own.user_add(key, secret)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.json"
        file.write_text(json.dumps(rights))
        own.policy_add(key, policy_file=str(file))
    _attach(own, key)


def minio_error(settings: Settings, error: Exception, bucket: str = "") -> SluiceError:
    """Returns the error of a failed call to the store, as one line that names the server and the bucket.

    Args:
        settings: of the store.
        error: what the call raised.
        bucket: the bucket's name; by default the lake's.
    """
    message = f"{settings.lake_store}, bucket {bucket or settings.lake_bucket}: {type(error).__name__}: {error}"
    if any(code in str(error) for code in _WRONG_CREDENTIALS):
        hint = "check the SLUICE_LAKE_… passwords, and run `make up`, which creates the bucket and its users"
        return TerminalError(message, EXTERNAL_HINT if settings.s3_endpoint else hint)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return TerminalError(message, EXTERNAL_HINT)
    return TransientError(
        message, "check SLUICE_S3_ENDPOINT" if settings.s3_endpoint else "run `make status` and `make logs S=minio`"
    )


def _attach(own: MinioAdmin, name: str) -> None:
    try:
        own.attach_policy([name], user=name)
    except MinioAdminException as error:
        # MinIO returns an error if the policy is already attached.
        if "AlreadyApplied" not in str(error):
            raise
