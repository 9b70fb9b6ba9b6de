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

User = Literal["writer", "reader", "keeper"]
ROOT_USER = "sluice-root"

_READ = ["s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject"]
_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
_ACTIONS: dict[User, list[str]] = {
    "writer": [*_READ, *_WRITE],
    "reader": _READ,
    "keeper": [*_READ, *_WRITE, "s3:DeleteObject"],
}
_WRONG_CREDENTIALS = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def access_key(user: User) -> str:
    """Returns the user's name in MinIO."""
    return f"sluice-{user}"


def client(settings: Settings, user: User | Literal["root"]) -> Minio:
    """Returns a MinIO client for a user, with timeouts of seconds; the library's defaults are minutes."""
    name, password = _credentials(settings, user)
    return Minio(endpoint=settings.minio, access_key=name, secret_key=password, secure=False, http_client=_http())


def provision(settings: Settings) -> None:
    """Creates the bucket and one user per service, each with the least privileges it needs. Idempotent.

    Raises:
        TransientError: MinIO is down.
        TerminalError: MinIO rejects the root user's password.
    """
    bucket = settings.lake_bucket
    name, password = _credentials(settings, "root")
    try:
        root = client(settings, "root")
        if not root.bucket_exists(bucket_name=bucket):
            root.make_bucket(bucket_name=bucket)
        admin = MinioAdmin(
            endpoint=settings.minio,
            credentials=StaticProvider(name, password),
            secure=False,
            http_client=_http(),
        )
        for user, actions in _ACTIONS.items():
            key, secret = _credentials(settings, user)
            admin.user_add(key, secret)
            with tempfile.TemporaryDirectory() as folder:
                policy = Path(folder) / "policy.json"
                policy.write_text(json.dumps(_policy(bucket, actions)))
                admin.policy_add(key, policy_file=str(policy))
            _attach(admin, key)
    except (S3Error, MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def minio_error(settings: Settings, error: Exception) -> SluiceError:
    """Returns the error of a failed MinIO call, as one line that names the server and the bucket."""
    message = f"MinIO at {settings.minio}, bucket {settings.lake_bucket}: {type(error).__name__}: {error}"
    if any(code in str(error) for code in _WRONG_CREDENTIALS):
        return TerminalError(
            message, "check the SLUICE_LAKE_… passwords, and run `make up`, which creates the bucket and its users"
        )
    return TransientError(message, "run `make status` and `make logs S=minio`")


def _credentials(settings: Settings, user: User | Literal["root"]) -> tuple[str, str]:
    if user == "root":
        return ROOT_USER, settings.secret("minio_root_password")
    return access_key(user), settings.secret(f"lake_{user}_password")


def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=20), retries=urllib3.Retry(total=2))


def _policy(bucket: str, actions: list[str]) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}]}


def _attach(admin: MinioAdmin, name: str) -> None:
    try:
        admin.attach_policy([name], user=name)
    except MinioAdminException as error:
        # MinIO returns an error if the policy is already attached.
        if "AlreadyApplied" not in str(error):
            raise
