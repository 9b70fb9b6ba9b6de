"""The table of services: what each needs, listens on, and may know."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.config.settings_file import PORTS, SECRETS
from infra.install.installs import install_steps
from infra.servers import minio
from infra.servers.service import environment
from infra.servers.services import SERVICES, services
from infra.supervision.platform import stop_order
from sluice.settings import Settings

AIRFLOW = {"airflow_db_password", "airflow_fernet_key", "airflow_api_secret_key", "airflow_jwt_secret"}
TASKS = {"loader_password", "transformer_password", "reader_password", "lake_reader_password", "lake_keeper_password"}
MAY_KNOW = {
    "kafka": set(),
    "postgres": set(),
    "minio": {"minio_root_password"},
    "sink": {"lake_writer_password"},
    "live": {"live_password"},
    "dashboard": {"reader_password"},
    "producer": set(),
    "airflow-api-server": AIRFLOW,
    "airflow-dag-processor": AIRFLOW,
    "airflow-triggerer": AIRFLOW,
    "airflow-cleaner": {"airflow_db_password"},
    # It runs the tasks.
    "airflow-scheduler": AIRFLOW | TASKS,
}


QUEUE = {"airflow_db_password", "redis_password"}
WITH_WORKERS = {
    "airflow-api-server": AIRFLOW,
    "airflow-dag-processor": AIRFLOW,
    "airflow-triggerer": AIRFLOW,
    "airflow-scheduler": AIRFLOW | QUEUE,
    "redis": set(),
    "airflow-worker-1": TASKS | QUEUE,
    "airflow-worker-2": TASKS | QUEUE,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_knows_its_own_secrets_and_no_others(name: str, settings: Settings) -> None:
    given = "\n".join(environment(SERVICES[name], settings).values())
    assert set(re.findall(r"secret-of-(\w+)", given)) == MAY_KNOW[name]


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_beside_workers_the_scheduler_knows_no_task_s_secret(name: str, settings: Settings) -> None:
    spread = settings.model_copy(update={"airflow_executor": "CeleryExecutor"})
    assert services(spread).keys() == SERVICES.keys() | WITH_WORKERS.keys()
    given = "\n".join(environment(services(spread)[name], spread).values())
    assert set(re.findall(r"secret-of-(\w+)", given)) == WITH_WORKERS[name]
    assert not services(spread)[name].needs or set(services(spread)[name].needs) <= services(spread).keys() | {
        "airflow metadata",
        "find redis",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_cannot_find_the_settings_file(name: str, settings: Settings) -> None:
    assert environment(SERVICES[name], settings)["SLUICE_ENV_FILE"] == "/dev/null"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"kafka"}))
def test_no_secret_is_on_a_command_line_and_nothing_listens_on_every_interface(name: str, settings: Settings) -> None:
    # Kafka's needs a Java, which is found on the machine.
    command = " ".join(SERVICES[name].command(settings))
    everything = command + " ".join(environment(SERVICES[name], settings).values())
    assert "secret-of-" not in command
    assert "0.0.0.0" not in everything  # noqa: S104 - that it is not there


def test_every_need_is_a_service_an_installation_or_a_first_step(settings: Settings) -> None:
    installations = {step.name for step in install_steps(settings)}
    first_steps = {"topics", "lake", "warehouse", "airflow metadata"}
    for service in SERVICES.values():
        assert set(service.needs) <= SERVICES.keys() | installations | first_steps, service.name


def test_every_port_is_a_setting_and_belongs_to_one_service() -> None:
    ports = [port for service in SERVICES.values() for port in service.ports]
    assert len(ports) == len(set(ports))
    assert set(ports) <= set(PORTS)


def test_services_stop_before_those_they_need() -> None:
    place = {service.name: n for n, group in enumerate(stop_order(SERVICES.values())) for service in group}
    assert place.keys() == SERVICES.keys()
    for service in SERVICES.values():
        for need in service.needs:
            assert place[service.name] < place.get(need, len(place)), f"{service.name} after {need}"


def test_minio_keeps_to_its_own_disk_and_asks_nobody(settings: Settings) -> None:
    given = minio.environment(settings)
    assert given["MINIO_UPDATE"] == "off"
    assert given["MINIO_CALLHOME_ENABLE"] == "off"
