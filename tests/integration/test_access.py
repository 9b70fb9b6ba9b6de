"""Every service's user has least privileges; wrong passwords and servers that are down are one-line errors."""

import io

import psycopg
import pytest
from minio.error import S3Error
from pydantic import SecretStr

from infra.config.ports import free_ports
from sluice.errors import TerminalError, TransientError
from sluice.kafka import topics
from sluice.lake import bucket
from sluice.lake.reader import LakeReader
from sluice.settings import Settings
from sluice.warehouse import connect
from sluice.warehouse.connect import Role

pytestmark = pytest.mark.essential


def _put(settings: Settings, user: bucket.User) -> None:
    bucket.client(settings, user).put_object(settings.lake_bucket, f"{user}.txt", io.BytesIO(b"x"), 1)


@pytest.mark.parametrize("user", ["writer", "keeper"])
def test_the_lakes_writers_can_write(servers: Settings, user: bucket.User) -> None:
    _put(servers, user)


def test_the_lakes_reader_cannot_write(servers: Settings) -> None:
    with pytest.raises(S3Error, match="AccessDenied"):
        _put(servers, "reader")


def test_only_the_keeper_can_delete(servers: Settings) -> None:
    _put(servers, "writer")
    for user in ("reader", "writer"):
        with pytest.raises(S3Error, match="AccessDenied"):
            bucket.client(servers, user).remove_object(servers.lake_bucket, "writer.txt")
    bucket.client(servers, "keeper").remove_object(servers.lake_bucket, "writer.txt")


def test_no_user_of_the_lake_can_create_buckets(servers: Settings) -> None:
    for user in ("reader", "writer", "keeper"):
        with pytest.raises(S3Error, match="AccessDenied"):
            bucket.client(servers, user).make_bucket("other")


def test_sparks_programs_read_the_lake_and_write_a_bucket_that_no_one_else_reads(servers: Settings) -> None:
    # Twice, as two launches do.
    bucket.provision_lakehouse(servers)
    bucket.provision_lakehouse(servers)
    _put(servers, "writer")
    spark, tables = bucket.client(servers, "lakehouse"), servers.warehouse_bucket
    assert spark.get_object(servers.lake_bucket, "writer.txt").data == b"x"
    spark.put_object(tables, "table.txt", io.BytesIO(b"t"), 1)
    for user in ("reader", "writer", "keeper"):
        with pytest.raises(S3Error, match="AccessDenied"):
            bucket.client(servers, user).get_object(tables, "table.txt")
    spark.remove_object(tables, "table.txt")
    for denied in (
        lambda: spark.put_object(servers.lake_bucket, "x.txt", io.BytesIO(b"x"), 1),
        lambda: spark.remove_object(servers.lake_bucket, "writer.txt"),
        lambda: spark.make_bucket("other"),
    ):
        with pytest.raises(S3Error, match="AccessDenied"):
            denied()


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("reader", "create table marts.x (a int)"),
        ("reader", "insert into raw.quarantine select * from raw.quarantine"),
        ("reader", "delete from ops.loads"),
        ("reader", "create schema x"),
        ("transformer", "insert into raw.quarantine select * from raw.quarantine"),
        ("transformer", "delete from ops.stale_dates"),
        ("transformer", "insert into ops.loads select * from ops.loads"),
        ("loader", "delete from ops.loads"),
        ("loader", "update ops.ledger_ends set next_offset = 0"),
        ("loader", "create table marts.x (a int)"),
        ("loader", "create table raw.x (a int)"),
        ("loader", "create role x"),
    ],
)
def test_a_role_has_least_privileges(servers: Settings, role: Role, statement: str) -> None:
    with connect(servers, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_wrong_password_is_a_one_line_error(servers: Settings) -> None:
    wrong = servers.model_copy(
        update={"reader_password": SecretStr("wrong"), "lake_reader_password": SecretStr("wrong-wrong")}
    )
    with pytest.raises(TerminalError) as error:
        connect(wrong, "reader")
    assert "SLUICE_READER_PASSWORD" in str(error.value)
    assert "wrong" not in str(error.value).replace("wrong:", "")
    with pytest.raises(TerminalError) as error:
        LakeReader(wrong, "flights.departed")
    assert "\n" not in str(error.value)
    assert "wrong-wrong" not in str(error.value)


def test_a_server_that_is_down_is_a_one_line_error(servers: Settings) -> None:
    port = free_ports(1)[0]
    unreachable = servers.model_copy(update={"kafka_port": port, "postgres_port": port, "minio_port": port})
    for call in (
        lambda: topics.kafka_ranges(unreachable, {"flights.departed": "flights.departed"}),
        lambda: connect(unreachable, "reader"),
        lambda: LakeReader(unreachable, "flights.departed"),
        lambda: bucket.provision(unreachable),
    ):
        with pytest.raises(TransientError) as error:
            call()
        assert f"127.0.0.1:{port}" in str(error.value)
        assert str(error.value).isprintable()
        assert "make status" in str(error.value)
