import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.config.ports import check_ports, free_ports
from sluice.errors import SluiceError
from sluice.settings import Settings

FILE = Path("/somewhere/.env")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def settings(**ports: int) -> Settings:
    return Settings(_env_file=None, **ports)  # type: ignore[call-arg, arg-type]


def test_the_error_of_a_taken_port_names_its_owner_its_setting_and_the_settings_file(taken: int) -> None:
    with pytest.raises(SluiceError) as caught:
        check_ports(settings(kafka_port=taken), ["kafka_port"], FILE)
    message = str(caught.value)
    for part in (f"port {taken}", "SLUICE_KAFKA_PORT", f"process {os.getpid()}", str(FILE)):
        assert part in message
    assert "\n" not in message


def test_the_error_of_a_port_assigned_twice_names_both_settings() -> None:
    port = free_ports(1)[0]
    with pytest.raises(SluiceError, match="both SLUICE_KAFKA_PORT and SLUICE_MINIO_PORT"):
        check_ports(settings(kafka_port=port, minio_port=port), ["kafka_port", "minio_port"], FILE)


def test_free_ports_are_distinct_and_pass_the_check() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    check_ports(settings(kafka_port=ports[0], minio_port=ports[1]), ["kafka_port", "minio_port"], FILE)
