import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from sluice.runtime.airflow import SCHEDULER, WORKER, environment
from sluice.runtime.environment import SECRETS
from sluice.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


def test_without_workers_nothing_is_said_of_a_queue(settings: Settings) -> None:
    given = environment(settings)
    assert given["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not [name for name in given if "CELERY" in name]


def test_workers_take_tasks_from_redis_and_know_what_the_tasks_need(settings: Settings) -> None:
    spread = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "redis_host": "queue"})
    given = WORKER.environment(spread)
    assert given["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert given["AIRFLOW__CELERY__BROKER_URL"] == "redis://:secret-of-redis_password@queue:6379/0"
    assert given.keys() == SCHEDULER.environment(spread).keys()
    assert WORKER.secrets == SCHEDULER.secrets


def test_the_locked_packages_can_run_a_worker() -> None:
    # In a process of its own: nothing but the orchestration imports Airflow.
    program = "import airflow.providers.celery.executors.celery_executor_utils"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_parts_on_hosts_of_their_own_find_each_other_by_name_and_a_browser_by_the_published_port(
    settings: Settings,
) -> None:
    assert environment(settings)["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
    apart = settings.model_copy(update={"airflow_host": "api", "airflow_url": "http://127.0.0.1:9999"})
    given = environment(apart)
    assert "AIRFLOW__CORE__HOSTNAME_CALLABLE" not in given
    assert given["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api:8080/execution/"
    assert given["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:9999"
