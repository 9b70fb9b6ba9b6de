import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.config.settings_file import SECRETS
from infra.servers import redis
from infra.servers.airflow import SCHEDULER, environment
from infra.servers.services import WORKER, services
from sluice.errors import SluiceError
from sluice.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


def test_without_workers_nothing_is_said_of_a_queue(settings: Settings) -> None:
    given = SCHEDULER.environment(settings)
    assert given["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not [name for name in given if "CELERY" in name]


def test_workers_take_tasks_from_redis_and_know_what_the_tasks_need(settings: Settings) -> None:
    spread = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "redis_host": "queue"})
    given = WORKER.environment(spread)
    assert given["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert given["AIRFLOW__CELERY__BROKER_URL"] == "redis://:secret-of-redis_password@queue:6379/0"
    assert [name for name in SCHEDULER.environment(settings) if "_CONN_" in name and name not in given] == []
    assert WORKER.secrets == SCHEDULER.secrets


def test_workers_of_one_machine_have_names_of_their_own(settings: Settings) -> None:
    spread = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "airflow_workers": 3})
    found = services(spread)
    workers = [name for name in found if "worker" in name]
    assert workers == ["airflow-worker-1", "airflow-worker-2", "airflow-worker-3"]
    assert [found[name].command(spread)[-1] for name in workers] == workers


def test_redis_has_its_password_in_a_file_of_its_owner_alone(settings: Settings) -> None:
    redis.prepare(settings)
    redis.prepare(settings)
    file = settings.home / "redis" / "redis.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines()
    assert "requirepass secret-of-redis_password" in lines
    assert "bind 127.0.0.1" in lines


def test_a_worker_whose_queue_is_away_is_unhealthy_and_its_password_is_not_shown(settings: Settings) -> None:
    away = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "redis_port": 1})
    found = WORKER.healthy(away)
    assert found
    assert "no answer from Redis at 127.0.0.1:1" in found
    assert "secret-of" not in found


def test_a_machine_without_redis_is_told_how_to_mend_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SluiceError, match=r"Redis is missing.*: run `sudo apt-get install -y redis-server`"):
        redis.program()


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
