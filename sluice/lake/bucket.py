"""The lake's bucket, its users and their permissions."""

import json
import tempfile
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
EXTERNAL_HINT = "check the SLUICE_S3_… settings: endpoint, region, keys and CA file"
_WRONG_CREDENTIALS = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def credentials(settings: Settings, user: User | Literal["root"]) -> tuple[str, str]:
    """Returns the pair of keys of a user: the access key and the secret key.

    Raises:
        TerminalError: this process was not given the user's secret key.
    """
    if user == "root":
        return ROOT_USER, settings.secret("minio_root_password")
    access_key: str = getattr(settings, f"lake_{user}_access_key") if settings.s3_endpoint else f"sluice-{user}"
    return access_key, settings.secret(f"lake_{user}_password")


def client(settings: Settings, user: User | Literal["root"]) -> Minio:
    """Returns a client of the store for a user, with timeouts of seconds; the library's defaults are minutes."""
    name, password = credentials(settings, user)
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


def _provision_external(settings: Settings) -> None:
    bucket = settings.lake_bucket
    try:
        # Listed as each user, so that a wrong key is reported now; an answer to a HEAD request would not say why.
        for user in USERS:
            store = client(settings, user)
            try:
                next(iter(store.list_objects(bucket_name=bucket)), None)
            except S3Error as error:
                if error.code != "NoSuchBucket" or user != "writer":
                    raise
                store.make_bucket(bucket_name=bucket)
    except S3Error as error:
        if error.code != "AccessDenied":
            raise minio_error(settings, error) from error
        raise TerminalError(
            f"{settings.lake_store}, bucket {bucket}: the store denies access: {error.message}",
            "ask its administrator to create the bucket, and for the rights that docs/how-to/external-servers.md lists",
        ) from error
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def _provision_own(settings: Settings) -> None:
    bucket = settings.lake_bucket
    try:
        root = client(settings, "root")
        if not root.bucket_exists(bucket_name=bucket):
            root.make_bucket(bucket_name=bucket)
        own = admin(settings)
        for user in USERS:
            key, secret = credentials(settings, user)
            own.user_add(key, secret)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "policy.json"
                file.write_text(json.dumps(policy(bucket, user)))
                own.policy_add(key, policy_file=str(file))
            _attach(own, key)
    except (S3Error, MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def minio_error(settings: Settings, error: Exception) -> SluiceError:
    """Returns the error of a failed call to the store, as one line that names the server and the bucket."""
    message = f"{settings.lake_store}, bucket {settings.lake_bucket}: {type(error).__name__}: {error}"
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
