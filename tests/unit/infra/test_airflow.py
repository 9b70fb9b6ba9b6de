import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.config.settings_file import SECRETS
from infra.launch.provisioning import Provisioning
from infra.servers import redis
from infra.servers.airflow import SCHEDULER, environment
from infra.servers.services import WORKER, services
from sluice.errors import SluiceError
from sluice.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


def test_the_metadata_waits_for_nothing_but_postgres(settings: Settings) -> None:
    steps = {step.name: step for step in Provisioning(settings, {}).steps(lambda: None, print)}
    assert steps["airflow metadata"].needs == ("postgres",)


def test_without_workers_no_queue_is_configured(settings: Settings) -> None:
    variables = SCHEDULER.environment(settings)
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not [name for name in variables if "CELERY" in name]


def test_workers_take_tasks_from_redis_and_have_the_connections_and_secrets_of_tasks(settings: Settings) -> None:
    with_workers = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "redis_host": "queue"})
    variables = WORKER.environment(with_workers)
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert variables["AIRFLOW__CELERY__BROKER_URL"] == "redis://:secret-of-redis_password@queue:6379/0"
    assert [name for name in SCHEDULER.environment(settings) if "_CONN_" in name and name not in variables] == []
    assert WORKER.secrets == SCHEDULER.secrets


def test_workers_on_one_machine_have_distinct_names(settings: Settings) -> None:
    with_workers = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "airflow_workers": 3})
    table = services(with_workers)
    workers = [name for name in table if name.startswith("airflow-worker")]
    assert workers == ["airflow-worker-1", "airflow-worker-2", "airflow-worker-3"]
    assert [table[name].command(with_workers)[-1] for name in workers] == workers


def test_redis_password_is_in_a_file_readable_by_its_owner_alone(settings: Settings) -> None:
    redis.prepare(settings)
    redis.prepare(settings)
    file = settings.home / "redis" / "redis.conf"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines()
    assert 'requirepass "secret-of-redis_password"' in lines
    assert "bind 127.0.0.1" in lines


def test_a_worker_is_unhealthy_while_redis_is_down_and_the_reason_shows_no_password(settings: Settings) -> None:
    redis_down = settings.model_copy(update={"airflow_executor": "CeleryExecutor", "redis_port": 1})
    problem = WORKER.check_health(redis_down)
    assert problem
    assert "no response from Redis at 127.0.0.1:1" in problem
    assert "secret-of" not in problem


def test_the_error_on_a_machine_without_redis_has_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SluiceError, match=r"Redis, .*, is missing. Hint: run `sudo apt-get install -y redis-server`"):
        redis.program()


def test_the_locked_packages_can_run_a_worker() -> None:
    # In a separate process: only the orchestration imports Airflow.
    program = "import airflow.providers.celery.executors.celery_executor_utils"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_on_separate_hosts_components_use_host_names_and_links_for_a_browser_use_the_published_port(
    settings: Settings,
) -> None:
    assert environment(settings)["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
    separate_hosts = settings.model_copy(update={"airflow_host": "api", "airflow_url": "http://127.0.0.1:9999"})
    variables = environment(separate_hosts)
    assert "AIRFLOW__CORE__HOSTNAME_CALLABLE" not in variables
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api:8080/execution/"
    assert variables["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:9999"
