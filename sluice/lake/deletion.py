"""The objects of a table whose stream has no contract any more, and their deletion."""

from collections.abc import Iterator
from dataclasses import dataclass

import urllib3
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import MinioException

from sluice.errors import TransientError
from sluice.lake.bucket import client, minio_error
from sluice.settings import Settings
from sluice.settings.external_servers import User


@dataclass(frozen=True)
class TableSize:
    """The objects of a table, with those of its log."""

    objects: int
    size: int
    """In bytes."""


def table_size(settings: Settings, stream: str) -> TableSize:
    """Returns the size of everything that the lake has of a stream.

    Raises:
        TransientError: the store is down.
        TerminalError: it rejects the lake's reader.
    """
    objects = list(_objects(settings, "reader", stream))
    return TableSize(len(objects), sum(int(item.size or 0) for item in objects))


def delete_table(settings: Settings, stream: str) -> None:
    """Deletes everything that the lake has of a stream. Idempotent.

    The log goes first: what an interrupted deletion leaves is no table, and a sink would start another one.

    Args:
        settings: with the password of the lake's keeper.
        stream: the stream, which nothing writes any more.

    Raises:
        TransientError: the store is down; some objects may be deleted.
        TerminalError: it rejects the lake's keeper.
    """
    names = [str(item.object_name) for item in _objects(settings, "keeper", stream)]
    log = f"{stream}/_delta_log/"
    try:
        for part in (
            [name for name in names if name.startswith(log)],
            [name for name in names if not name.startswith(log)],
        ):
            failed = list(
                client(settings, "keeper").remove_objects(
                    bucket_name=settings.lake_bucket, delete_object_list=(DeleteObject(name) for name in part)
                )
            )
            if failed:
                raise TransientError(
                    f"{len(failed)} objects of {stream} were not deleted, the first because of {failed[0].code}",
                    "see `make logs S=minio`, and run the same command again",
                )
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error


def _objects(settings: Settings, user: User, stream: str) -> Iterator[Object]:
    try:
        yield from client(settings, user).list_objects(
            bucket_name=settings.lake_bucket, prefix=f"{stream}/", recursive=True
        )
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise minio_error(settings, error) from error
