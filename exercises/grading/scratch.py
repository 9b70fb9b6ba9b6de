"""What a scratch stream uses of the platform's servers: a bucket and a contract of its own."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe

import urllib3
import yaml
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException
from pydantic import SecretStr

from sluice.contracts.loader import read_contract
from sluice.lake.bucket import admin, client, minio_error, policy
from sluice.settings import Settings, variable
from sluice.settings.external_servers import USERS, User

_RETENTION_BYTES = 1 << 28
_LONGEST_CHECK = timedelta(hours=1)
"""After which MinIO itself removes a key pair, if the check was killed before it could."""

KeyPairs = Mapping[User, tuple[str, str]]
"""Access key and secret key of each user of a lake."""


def scratch_settings(
    settings: Settings, token: str, contracts: Path, sink_age_seconds: float, keys: KeyPairs
) -> Settings:
    """Returns the settings of the stream's servers: the platform's, but another bucket, warehouse and contracts.

    The users of the platform's lake have no right to any other bucket. To the settings, that bucket is in an external
    store, whose users have any keys.
    """
    return settings.model_copy(
        update={
            "contracts": contracts,
            "warehouse": f"sluice_check_{token}",
            "lake_bucket": bucket_name(token),
            "sink_age_seconds": sink_age_seconds,
            "s3_endpoint": settings.lake_endpoint,
            **{f"lake_{user}_access_key": key for user, (key, _) in keys.items()},
            **{f"lake_{user}_password": SecretStr(secret) for user, (_, secret) in keys.items()},
        }
    )


def bucket_name(token: str) -> str:
    """Returns the name of the bucket of a check."""
    return f"check-{token}"


def write_contract(source: Path, folder: Path, topic: str, partitions: int) -> None:
    """Writes a contract for the scratch stream, with its topic."""
    name = read_contract(source).stream
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    document["topic"] = {"name": topic, "partitions": partitions, "retention_bytes": _RETENTION_BYTES}
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


@contextmanager
def scratch_bucket(settings: Settings, token: str) -> Iterator[KeyPairs]:
    """Creates a bucket and the key pairs of its users, who have the same rights as the lake's but to this bucket alone.

    At the end, the users are removed, and the bucket with everything in it.

    Raises:
        TransientError, TerminalError: the store is down, or rejects the root user.
    """
    store, users, name = client(settings, "root"), admin(settings), bucket_name(token)
    try:
        with ExitStack() as stack:
            store.make_bucket(bucket_name=name)
            stack.callback(_remove_bucket, store, name)
            keys = {user: (f"{user}-{token}", token_urlsafe(24)) for user in USERS}
            for user, (key, secret) in keys.items():
                users.add_service_account(
                    access_key=key,
                    secret_key=secret,
                    policy=policy(name, user),
                    expiration=(datetime.now(UTC) + _LONGEST_CHECK).strftime("%Y-%m-%dT%H:%M:%SZ"),
                )
                stack.callback(users.delete_service_account, key)
            yield keys
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def _remove_bucket(store: Minio, name: str) -> None:
    objects = store.list_objects(bucket_name=name, recursive=True)
    names = (DeleteObject(str(item.object_name)) for item in objects)
    for fault in store.remove_objects(bucket_name=name, delete_object_list=names):
        raise MinioException(f"{fault.name} was not deleted: {fault.code}")
    store.remove_bucket(bucket_name=name)


def environment(settings: Settings, secrets: Iterable[str]) -> dict[str, str]:
    """Returns the environment of a process that has these settings, and of the secrets only those named."""
    values = {name: value for name, value in settings.model_dump(exclude_defaults=True).items() if value is not None}
    plain = {name: str(value) for name, value in values.items() if not isinstance(value, SecretStr)}
    needed = {name: settings.secret(name) for name in secrets if name in values}
    # No settings file: it would give the process everything else.
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
        **{variable(name): value for name, value in {**plain, **needed}.items()},
        "SLUICE_ENV_FILE": "/dev/null",
    }
