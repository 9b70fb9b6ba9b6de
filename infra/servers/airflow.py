"""Airflow: API server, scheduler, DAG processor and triggerer, on Postgres, with FAB's users.

The scheduler runs the tasks itself (LocalExecutor), or workers do, which take them from Redis (CeleryExecutor).
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from infra.processes.commands import run_logged
from infra.servers import probes
from infra.servers.service import Service
from infra.servers.service import environment as service_environment
from sluice.errors import TransientError
from sluice.settings import LOOPBACK, ROOT, Settings

ADMIN = "admin"
DATABASE = "airflow"
ROLES = ("loader", "transformer", "reader")
"""The warehouse's roles that tasks work as, each through a connection of its own."""


def hostname() -> str:
    """The address under which Airflow's parts find each other; looking a name up could take seconds, or fail."""
    return LOOPBACK


Configuration = dict[str, dict[str, object]]
"""Values by section and key, where they differ from Airflow's defaults."""


def configuration(settings: Settings) -> Configuration:
    """What every part of Airflow is told."""
    password = settings.secret("airflow_db_password")
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    # On a host of their own its parts find each other by Airflow's default, the host's name.
    found_by = {"hostname_callable": f"{__name__}.hostname"} if settings.airflow_host == LOOPBACK else {}
    return {
        "core": {
            "dags_folder": ROOT / "dags",
            "executor": settings.airflow_executor,
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "parallelism": 4,
            "max_active_tasks_per_dag": 4,
            "dags_are_paused_at_creation": False,
            "load_examples": False,
            **found_by,
            "execution_api_server_url": f"{settings.airflow}/execution/",
        },
        "database": {"sql_alchemy_conn": f"postgresql+psycopg2://{DATABASE}:{password}@{address}/{DATABASE}"},
        "api": {
            "host": settings.airflow_host,
            "port": settings.airflow_port,
            "base_url": settings.pages.airflow,
            "workers": 1,
            "instance_name": "Sluice",
        },
        "workers": {
            # A task outlives the API server's restart: about a minute of tries.
            "execution_api_retries": 8,
            "execution_api_retry_wait_max": 15,
        },
        "scheduler": {
            # A task that is over is seen, and the next begun, a third of a second later at most, not a whole one: of a
            # backfill's second for each date, most was this wait.
            "scheduler_idle_sleep_time": 0.3,
            # A task whose process was killed is tried again after a minute or so, not after five.
            "task_instance_heartbeat_timeout": 60,
            "task_instance_heartbeat_timeout_detection_interval": 10,
            "orphaned_tasks_check_interval": 30,
        },
        "dag_processor": {
            # A changed DAG is seen within half a minute, by one process: there are few files.
            "refresh_interval": 15,
            "min_file_process_interval": 20,
            "parsing_processes": 1,
        },
        "logging": {
            "base_log_folder": folder(settings) / "logs",
            "colored_console_log": False,
            "uvicorn_logging_level": "WARNING",
        },
    }


def keys(settings: Settings) -> Configuration:
    """What encrypts the metadata's secrets and signs sessions and tasks' tokens; who knows it may do anything."""
    return {
        "core": {"fernet_key": settings.secret("airflow_fernet_key")},
        "api": {"secret_key": settings.secret("airflow_api_secret_key")},
        "api_auth": {"jwt_secret": settings.secret("airflow_jwt_secret")},
    }


def broker(settings: Settings) -> str:
    """The address of the queue from which workers take tasks. It holds the password: never print it."""
    return f"redis://:{settings.secret('redis_password')}@{settings.redis_host}:{settings.redis_port}/0"


def queue(settings: Settings) -> Configuration:
    """What the scheduler and the workers must know of the queue between them."""
    password = settings.secret("airflow_db_password")
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    return {
        "celery": {
            "broker_url": broker(settings),
            "result_backend": f"db+postgresql://{DATABASE}:{password}@{address}/{DATABASE}",
            "worker_concurrency": 2,
        },
        # What a killed worker had taken is given to another after so long; a task that still runs is not, since it
        # says so to the API server.
        "celery_broker_transport_options": {"visibility_timeout": 300},
    }


_IMPORTING = threading.Lock()
"""Celery puts another module in its place while it is imported: a launch asks its workers in several threads."""


def worker_healthy(settings: Settings, host: str) -> str | None:
    """Asks a worker through the queue whether it takes tasks."""
    with _IMPORTING:
        from celery import Celery
    from kombu.exceptions import OperationalError
    from redis import RedisError

    name = f"celery@{host}"
    with Celery(broker=broker(settings)) as app:
        try:
            answers = app.control.ping(destination=[name], timeout=5)
        # Whose error it is depends on when the connection breaks.
        except (OSError, OperationalError, RedisError) as error:
            return f"no answer from Redis at {settings.redis_host}:{settings.redis_port} ({error})"
    return None if answers else f"{name} does not answer"


def folder(settings: Settings) -> Path:
    """Airflow's home."""
    return settings.home / "airflow"


def environment(settings: Settings, *more: Callable[[Settings], Configuration]) -> dict[str, str]:
    """The configuration, and ``more`` of it, as Airflow's environment variables."""
    variables = {"AIRFLOW_HOME": str(folder(settings))}
    for part in (configuration, *more):
        for section, values in part(settings).items():
            for key, value in values.items():
                variables[f"AIRFLOW__{section.upper()}__{key.upper()}"] = str(value)
    return variables


def connections(settings: Settings) -> dict[str, str]:
    """Airflow's connections to the warehouse, as environment variables, for the part that runs tasks."""
    return {
        f"AIRFLOW_CONN_WAREHOUSE_{role.upper()}": json.dumps(
            {
                "conn_type": "postgres",
                "host": settings.postgres_host,
                "port": settings.postgres_port,
                "schema": settings.warehouse,
                "login": f"sluice_{role}",
                "password": settings.secret(f"{role}_password"),
            }
        )
        for role in ROLES
    }


def command(*arguments: str) -> list[str]:
    """A command line of Airflow's own CLI."""
    return [sys.executable, "-m", "airflow", *arguments]


def part_healthy(settings: Settings, part: str) -> str | None:
    """Asks the API server for the last heartbeat of a part: ``scheduler``, ``dag_processor`` or ``triggerer``."""
    try:
        answer = probes.http_json(settings.airflow_host, settings.airflow_port, "/api/v2/monitor/health")
    except TransientError as error:
        return str(error)
    state = answer[part]["status"]
    return None if state == "healthy" else f"Airflow says it is {state or 'not there'}"


def set_up(settings: Settings, log: Path, cancelled: threading.Event) -> str | None:
    """Brings the metadata to this release and makes the user, unless that is done.

    Returns:
        What was done, or None when nothing had to be.

    Raises:
        LoggedError: one of Airflow's commands failed.
    """
    release = f"{version('apache-airflow')} fab {version('apache-airflow-providers-fab')}"
    done = folder(settings) / "set-up"
    if done.exists() and done.read_text() == release:
        return None
    folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    variables = service_environment(API_SERVER, settings)
    run_logged(command("db", "migrate"), log, environment=variables, folder=ROOT, cancelled=cancelled)
    create = ["users", "create", "--username", ADMIN, "--role", "Admin"]
    create += ["--firstname", "Sluice", "--lastname", "Admin", "--email", "admin@localhost.invalid"]
    # Asked for twice; without a terminal it is read from here, where no list of processes shows it.
    password = f"{settings.secret('airflow_admin_password')}\n" * 2
    run_logged(command(*create), log, environment=variables, folder=ROOT, stdin=password, cancelled=cancelled)
    done.write_text(release)
    return "metadata and user made"


TASKS_SECRETS = ("lake_reader_password", "lake_keeper_password")
"""What tasks are given besides their connections to the warehouse."""
PREIMPORTED = (sys.executable, "-m", "sluice.orchestration.preimport")
"""Airflow's CLI for whoever forks a process per task."""

API_SERVER = Service(
    name="airflow-api-server",
    needs=("postgres", "airflow metadata"),
    ports=("airflow_port",),
    command=lambda _: command("api-server"),
    environment=lambda settings: environment(settings, keys),
    healthy=lambda settings: probes.http_ok(settings.airflow_host, settings.airflow_port, "/api/v2/version"),
    start_seconds=180,
    # Browsers keep connections open, and it would wait two minutes for them.
    stop_seconds=5,
)
SCHEDULER = Service(
    name="airflow-scheduler",
    # Its tasks report to the API server, and load from the lake: it comes after both, and goes before.
    needs=("airflow-api-server", "sink"),
    # Airflow's log server can only listen on every interface; the API server reads the same files from the disk.
    command=lambda _: [*PREIMPORTED, "scheduler", "--skip-serve-logs"],
    environment=lambda settings: environment(settings, keys) | connections(settings),
    secrets=TASKS_SECRETS,
    healthy=lambda settings: part_healthy(settings, "scheduler"),
    start_seconds=180,
)
DAG_PROCESSOR = replace(
    SCHEDULER,
    name="airflow-dag-processor",
    needs=("postgres", "airflow metadata"),
    command=lambda _: command("dag-processor"),
    environment=API_SERVER.environment,
    secrets=(),
    healthy=lambda settings: part_healthy(settings, "dag_processor"),
)
TRIGGERER = replace(
    DAG_PROCESSOR,
    name="airflow-triggerer",
    command=lambda _: command("triggerer", "--skip-serve-logs"),
    healthy=lambda settings: part_healthy(settings, "triggerer"),
)
CLEANER = replace(
    DAG_PROCESSOR,
    name="airflow-cleaner",
    command=lambda _: [sys.executable, "-m", "infra.servers.airflow_cleaner"],
    environment=environment,
    # It serves nobody.
    healthy=lambda _: None,
)
QUEUEING_SCHEDULER = replace(
    SCHEDULER,
    needs=(*SCHEDULER.needs, "redis"),
    command=lambda _: command("scheduler", "--skip-serve-logs"),
    environment=lambda settings: environment(settings, keys, queue),
    secrets=(),
)
"""The scheduler beside workers. It runs no task, so it knows nothing of the lake and the warehouse."""


def worker(name: str, host: str | None = None) -> Service:
    """A worker for CeleryExecutor, which runs two tasks at once.

    Args:
        name: the service's.
        host: what it is called after ``celery@`` among those who share a queue; by default as its machine, which is
            where Airflow's official chart looks for it.
    """
    return replace(
        QUEUEING_SCHEDULER,
        name=name,
        command=lambda _: [
            *(*PREIMPORTED, "celery", "worker", "--skip-serve-logs"),
            *(["--celery-hostname", host] if host else []),
        ],
        environment=lambda settings: environment(settings, queue) | connections(settings),
        secrets=TASKS_SECRETS,
        healthy=lambda settings: worker_healthy(settings, host or socket.gethostname()),
    )
