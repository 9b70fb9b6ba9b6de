"""The table of services: what each service needs, which ports it has, and which secrets it receives."""

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

AIRFLOW_SECRETS = {"airflow_db_password", "airflow_fernet_key", "airflow_api_secret_key", "airflow_jwt_secret"}
TASK_SECRETS = {
    "loader_password",
    "transformer_password",
    "reader_password",
    "lake_reader_password",
    "lake_keeper_password",
    "lakehouse_password",
    "spark_secret",
}
SECRETS_OF = {
    "kafka": set(),
    "postgres": set(),
    "minio": {"minio_root_password"},
    "sink": {"lake_writer_password"},
    "live": {"live_password"},
    "dashboard": {"reader_password"},
    "producer": set(),
    "prometheus": set(),
    "spark-master": {"spark_secret"},
    "spark-worker-1": {"spark_secret"},
    "spark-worker-2": {"spark_secret"},
    "airflow-api-server": AIRFLOW_SECRETS,
    "airflow-dag-processor": AIRFLOW_SECRETS,
    "airflow-triggerer": AIRFLOW_SECRETS,
    "airflow-cleaner": {"airflow_db_password"},
    # It runs the tasks.
    "airflow-scheduler": AIRFLOW_SECRETS | TASK_SECRETS,
}
QUEUE_SECRETS = {"airflow_db_password", "redis_password"}
SECRETS_WITH_WORKERS = {
    "airflow-api-server": AIRFLOW_SECRETS,
    "airflow-dag-processor": AIRFLOW_SECRETS,
    "airflow-triggerer": AIRFLOW_SECRETS,
    "airflow-scheduler": AIRFLOW_SECRETS | QUEUE_SECRETS,
    "redis": set(),
    "airflow-worker-1": TASK_SECRETS | QUEUE_SECRETS,
    "airflow-worker-2": TASK_SECRETS | QUEUE_SECRETS,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_receives_only_its_own_secrets(name: str, settings: Settings) -> None:
    values = "\n".join(environment(SERVICES[name], settings).values())
    assert set(re.findall(r"secret-of-(\w+)", values)) == SECRETS_OF[name]


@pytest.mark.parametrize("name", SECRETS_WITH_WORKERS)
def test_with_workers_the_scheduler_receives_no_secret_of_tasks(name: str, settings: Settings) -> None:
    with_workers = settings.model_copy(update={"airflow_executor": "CeleryExecutor"})
    table = services(with_workers)
    assert table.keys() == SERVICES.keys() | SECRETS_WITH_WORKERS.keys()
    values = "\n".join(environment(table[name], with_workers).values())
    assert set(re.findall(r"secret-of-(\w+)", values)) == SECRETS_WITH_WORKERS[name]
    assert set(table[name].needs) <= table.keys() | {"airflow metadata", "find redis"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_does_not_read_the_settings_file(name: str, settings: Settings) -> None:
    assert environment(SERVICES[name], settings)["SLUICE_ENV_FILE"] == "/dev/null"


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"kafka", "prometheus"}))
def test_no_secret_is_on_a_command_line_and_nothing_listens_on_every_interface(name: str, settings: Settings) -> None:
    # Two are left out: their command lines need programs on this machine.
    command = " ".join(SERVICES[name].command(settings))
    everything = command + " ".join(environment(SERVICES[name], settings).values())
    assert "secret-of-" not in command
    assert "0.0.0.0" not in everything  # noqa: S104 - asserts its absence


def test_every_need_is_a_service_an_installation_or_a_provisioning_step(settings: Settings) -> None:
    installations = {step.name for step in install_steps(settings, observe=True, spark=True)}
    provisioning = {"topics", "lake", "warehouse", "removed contracts", "airflow metadata"}
    for service in SERVICES.values():
        assert set(service.needs) <= SERVICES.keys() | installations | provisioning, service.name


def test_every_port_is_a_setting_and_belongs_to_one_service() -> None:
    ports = [port for service in SERVICES.values() for port in service.ports]
    assert len(ports) == len(set(ports))
    assert set(ports) <= set(PORTS)


def test_services_stop_before_the_services_they_need() -> None:
    group_index = {service.name: n for n, group in enumerate(stop_order(SERVICES.values())) for service in group}
    assert group_index.keys() == SERVICES.keys()
    for service in SERVICES.values():
        for need in service.needs:
            assert group_index[service.name] < group_index.get(need, len(group_index)), f"{service.name} after {need}"


def test_minio_does_not_call_home(settings: Settings) -> None:
    variables = minio.environment(settings)
    assert variables["MINIO_UPDATE"] == "off"
    assert variables["MINIO_CALLHOME_ENABLE"] == "off"
