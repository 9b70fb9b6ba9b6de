"""Servers and clients work with passwords of any characters, from the settings file to the connection."""

import subprocess
from collections.abc import Iterator

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pydantic import SecretStr

from infra.config.settings_file import GENERATED_SECRETS, PORTS, ensure_settings_file
from infra.servers import redis
from infra.servers.airflow import API_SERVER, command
from infra.servers.service import environment
from infra.servers.toolchains import find_redis
from infra.supervision.platform import Platform
from sluice.errors import SluiceError, TerminalError
from sluice.lake import bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.settings import ROOT, Settings, variable
from sluice.warehouse import connect, schema
from sluice.warehouse.connect import Role
from tests.fixtures.ports import free_ports

PASSWORD = "@/%#:?&=+ '\"$x${HOME}`é%40"
ROLES: tuple[Role, ...] = ("postgres", "loader", "transformer", "live", "reader")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Platform]]:
    folder = tmp_path_factory.mktemp("passwords")
    file = folder / "settings.env"
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    passwords = {name: f"{n}{PASSWORD}" for n, name in enumerate(GENERATED_SECRETS) if name != "airflow_fernet_key"}
    ensure_settings_file(file, {"home": folder / "home", "airflow_executor": "CeleryExecutor", **ports, **passwords})
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    platform = Platform(settings, file)
    try:
        platform.start(["postgres", "minio", *(["redis"] if find_redis() else [])])
        yield settings, platform
    finally:
        platform.stop()


@pytest.mark.essential
def test_every_password_of_the_settings_file_opens_its_server(hostile: tuple[Settings, Platform]) -> None:
    settings, _ = hostile
    schema.provision(settings, {})
    for role in ROLES:
        with connect(settings, role) as connection:
            assert connection.execute("select 1").fetchone() == (1,)

    bucket.provision(settings)
    uri = table_uri(settings, "passwords")
    write_deltalake(uri, pa.table({"a": [1]}), storage_options=storage_options(settings, "writer"))
    assert DeltaTable(uri, storage_options=storage_options(settings, "reader")).version() == 0

    checked = subprocess.run(
        command("db", "check"),
        env=environment(API_SERVER, settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr[-2000:]
    if find_redis():
        assert redis.check_health(settings) is None


def test_a_settings_file_that_is_newer_than_the_data_is_one_line_at_once(hostile: tuple[Settings, Platform]) -> None:
    settings, platform = hostile
    newer = settings.model_copy(update={"postgres_password": SecretStr("another")})
    with pytest.raises(
        SluiceError, match="set up with another SLUICE_POSTGRES_PASSWORD: restore the settings"
    ) as raised:
        Platform(newer, platform.file).start(["postgres"])
    assert str(raised.value).startswith("cannot use postgres: it rejects the administrator's password. Hint: ")
    # In containers, provisioning is the first to log in.
    with pytest.raises(TerminalError, match="set up with another SLUICE_POSTGRES_PASSWORD: restore the settings"):
        connect(newer, "postgres")
    assert find_status(Platform(newer, platform.file)) == ("unhealthy", "it rejects the administrator's password")


def test_minio_takes_the_passwords_of_a_settings_file_that_is_newer_than_its_data(
    hostile: tuple[Settings, Platform],
) -> None:
    settings, platform = hostile
    bucket.provision(settings)
    names = ("minio_root_password", "lake_writer_password")
    newer = settings.model_copy(update={name: SecretStr(f"newer {PASSWORD}") for name in names})
    text = platform.file.read_bytes()
    platform.supervisor.stop("minio")
    try:
        kept = [line for line in text.decode().splitlines() if not any(variable(name) in line for name in names)]
        platform.file.write_text("\n".join(kept) + "\n")
        ensure_settings_file(platform.file, {name: newer.secret(name) for name in names})
        Platform(newer, platform.file).start(["minio"])
        bucket.provision(newer)
        uri = table_uri(newer, "newer")
        write_deltalake(uri, pa.table({"a": [1]}), storage_options=storage_options(newer, "writer"))
    finally:
        platform.file.write_bytes(text)


def find_status(platform: Platform) -> tuple[str, str]:
    return next((status.state, status.detail) for status in platform.status() if status.name == "postgres")
