"""Airflow: API server, scheduler, DAG processor and triggerer, with its metadata in Postgres and FAB's users.

Tasks run in the scheduler (LocalExecutor), or in workers that take them from Redis (CeleryExecutor).
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
from sluice.settings.urls import url
from sluice.warehouse.connect import warehouse_server

ADMIN = "admin"
DATABASE = "airflow"
ROLES = ("loader", "transformer", "reader")
"""The warehouse roles of tasks; each has its own Airflow connection."""


def hostname() -> str:
    """Returns the address at which Airflow's components reach each other; a name lookup could take seconds or fail."""
    return LOOPBACK


Configuration = dict[str, dict[str, object]]
"""Values that differ from Airflow's defaults, by section and key."""


def configuration(settings: Settings) -> Configuration:
    """Returns the configuration that all components share."""
    # Components on separate hosts reach each other by host name, Airflow's default.
    hostname_option = {"hostname_callable": f"{__name__}.hostname"} if settings.airflow_host == LOOPBACK else {}
    return {
        "core": {
            "dags_folder": ROOT / "dags",
            "executor": settings.airflow_executor,
            "auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "parallelism": 4,
            "max_active_tasks_per_dag": 4,
            "dags_are_paused_at_creation": False,
            "load_examples": False,
            **hostname_option,
            "execution_api_server_url": f"{settings.airflow}/execution/",
        },
        "database": {"sql_alchemy_conn": metadata_url(settings, "postgresql+psycopg2")},
        "api": {
            "host": settings.airflow_host,
            "port": settings.airflow_port,
            "base_url": settings.pages.airflow,
            "workers": 1,
            "instance_name": "Sluice",
        },
        "workers": {
            # A task survives a restart of the API server: it retries for about a minute.
            "execution_api_retries": 8,
            "execution_api_retry_wait_max": 15,
        },
        "scheduler": {
            # The scheduler notices a finished task and starts the next within a third of a second, not a whole one: a
            # backfill took a second per date, most of it this wait.
            "scheduler_idle_sleep_time": 0.3,
            # A task whose process was killed is retried after about a minute, not after five.
            "task_instance_heartbeat_timeout": 60,
            "task_instance_heartbeat_timeout_detection_interval": 10,
            "orphaned_tasks_check_interval": 30,
        },
        "dag_processor": {
            # A changed DAG is picked up within half a minute; one process suffices for so few files.
            "refresh_interval": 15,
            "min_file_process_interval": 20,
            "parsing_processes": 1,
        },
        "logging": {
            "base_log_folder": folder(settings) / "logs",
            "colored_console_log": False,
            "uvicorn_logging_level": "WARNING",
        },
        **({"openlineage": openlineage_configuration(settings)} if settings.openlineage_url else {}),
    }


def openlineage_configuration(settings: Settings) -> dict[str, object]:
    """Returns how events reach the OpenLineage server.

    A task sends an event when it starts and another when it ends, and waits for it: a second for the connection and a
    second for the response, without a retry. Airflow's own limit for all that is sent together is ten seconds.
    """
    transport = {
        "type": "http",
        # With a slash, so that a path is kept.
        "url": f"{settings.openlineage_url}/",
        "timeout": 1,
        "retry": {"total": 0, "connect": 0, "read": 0},
    }
    # Commands and functions of other DAGs may contain anything.
    no_code = {
        "scope": {"operator": r"(?!sluice\.).*"},
        "match_mode": "regex",
        "controls": {"include_source_code": False},
    }
    return {
        "transport": json.dumps(transport),
        "namespace": "sluice",
        "emission_policy": json.dumps([no_code]),
    }


def metadata_url(settings: Settings, scheme: str) -> str:
    """Returns the URL of Airflow's metadata. It includes the password: never print it."""
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    return url(scheme, DATABASE, settings.secret("airflow_db_password"), address, DATABASE)


def secret_keys(settings: Settings) -> Configuration:
    """Returns the keys that encrypt secrets in the metadata and sign sessions and task tokens.

    They grant full access to Airflow.
    """
    return {
        "core": {"fernet_key": settings.secret("airflow_fernet_key")},
        "api": {"secret_key": settings.secret("airflow_api_secret_key")},
        "api_auth": {"jwt_secret": settings.secret("airflow_jwt_secret")},
    }


def broker_url(settings: Settings) -> str:
    """Returns the URL of the queue from which workers take tasks. It includes the password: never print it."""
    return url("redis", "", settings.secret("redis_password"), f"{settings.redis_host}:{settings.redis_port}", "0")


def celery_configuration(settings: Settings) -> Configuration:
    """Returns the configuration of the queue between scheduler and workers."""
    return {
        "celery": {
            "broker_url": broker_url(settings),
            "result_backend": metadata_url(settings, "db+postgresql"),
            "worker_concurrency": 2,
        },
        # Seconds until the tasks of a killed worker are redelivered to another. A task that is still running does not
        # run twice, since it sends heartbeats to the API server.
        "celery_broker_transport_options": {"visibility_timeout": 300},
    }


_CELERY_IMPORT_LOCK = threading.Lock()
"""Celery replaces its own module during import, and a launch checks its workers from several threads."""


def check_worker(settings: Settings, host: str) -> str | None:
    """Pings a worker through the queue; returns None if it responds, otherwise the reason why not."""
    try:
        return None if _worker_responds(settings, host) else f"no response from {_worker_name(host)}"
    except TransientError as error:
        return str(error)


def check_worker_liveness(settings: Settings, host: str) -> str | None:
    """Returns why a restart of a worker would help; None if it is alive, or if the queue is down."""
    try:
        return None if _worker_responds(settings, host) else f"no response from {_worker_name(host)}"
    except TransientError:
        return None


def _worker_name(host: str) -> str:
    return f"celery@{host}"


def _worker_responds(settings: Settings, host: str) -> bool:
    """Pings a worker through the queue.

    Raises:
        TransientError: the queue is down.
    """
    with _CELERY_IMPORT_LOCK:
        from celery import Celery
    from kombu.exceptions import OperationalError
    from redis import RedisError

    with Celery(broker=broker_url(settings)) as app:
        try:
            return bool(app.control.ping(destination=[_worker_name(host)], timeout=5))
        # Which library raises depends on when the connection breaks.
        except (OSError, OperationalError, RedisError) as error:
            raise TransientError(
                f"no response from Redis at {settings.redis_host}:{settings.redis_port} ({error})"
            ) from error


def folder(settings: Settings) -> Path:
    """Returns Airflow's home folder."""
    return settings.home / "airflow"


def environment(settings: Settings, *extra: Callable[[Settings], Configuration]) -> dict[str, str]:
    """Returns the shared configuration and the ``extra`` ones as Airflow's environment variables."""
    variables = {"AIRFLOW_HOME": str(folder(settings))}
    for configure in (configuration, *extra):
        for section, values in configure(settings).items():
            for key, value in values.items():
                variables[f"AIRFLOW__{section.upper()}__{key.upper()}"] = str(value)
    return variables


def connections(settings: Settings) -> dict[str, str]:
    """Returns Airflow's connections to the warehouse as environment variables, for the component that runs tasks."""
    server = warehouse_server(settings)
    return {
        f"AIRFLOW_CONN_WAREHOUSE_{role.upper()}": json.dumps(
            {
                "conn_type": "postgres",
                "host": server.host,
                "port": server.port,
                "schema": settings.warehouse,
                "login": f"sluice_{role}",
                "password": settings.secret(f"{role}_password"),
                **({"extra": server.tls} if server.tls else {}),
            }
        )
        for role in ROLES
    } | _lakehouse_connection(settings)


def _lakehouse_connection(settings: Settings) -> dict[str, str]:
    """Returns the connection to Spark and to its bucket. Where Spark cannot run, its secrets are not given."""
    if not (settings.spark_secret and settings.lakehouse_password):
        return {}
    return {
        "AIRFLOW_CONN_LAKEHOUSE": json.dumps(
            {
                "conn_type": "generic",
                "host": settings.spark_host,
                "port": settings.spark_port,
                "password": settings.lakehouse_password.get_secret_value(),
                "extra": {"spark_secret": settings.spark_secret.get_secret_value()},
            }
        )
    }


def command(*arguments: str) -> list[str]:
    """Returns a command line of Airflow's own CLI."""
    return [sys.executable, "-m", "airflow", *arguments]


def check_component(settings: Settings, component: str) -> str | None:
    """Checks a component's heartbeat at the API server; returns None if it is healthy, otherwise the reason why not.

    Args:
        settings: where the API server is.
        component: ``scheduler``, ``dag_processor`` or ``triggerer``.
    """
    try:
        health = probes.http_json(settings.airflow_host, settings.airflow_port, "/api/v2/monitor/health")
    except TransientError as error:
        return str(error)
    return _component_problem(health, component)


def check_component_liveness(settings: Settings, component: str) -> str | None:
    """Returns why a restart of a component would help; None if it is alive, or if what it needs is down."""
    try:
        health = probes.http_json(settings.airflow_host, settings.airflow_port, "/api/v2/monitor/health")
    except TransientError:
        return None
    return _component_problem(health, component) if health["metadatabase"]["status"] == "healthy" else None


def _component_problem(health: dict[str, dict[str, str]], component: str) -> str | None:
    state = health[component]["status"]
    return None if state == "healthy" else f"Airflow reports {state or 'no heartbeat'}"


def migrate_metadata(settings: Settings, log: Path, cancelled: threading.Event) -> str | None:
    """Migrates the metadata to the installed release and creates the admin user, unless both are done.

    Returns:
        A summary for the launch's progress; None if there was nothing to do.

    Raises:
        LoggedError: one of Airflow's commands failed.
    """
    release = f"{version('apache-airflow')} fab {version('apache-airflow-providers-fab')}"
    done = folder(settings) / "set-up"
    if done.exists() and done.read_text() == release:
        return None
    folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    variables = service_environment(API_SERVER, settings)
    # The command prompts twice. Without a terminal it reads standard input, which no process list shows.
    password = f"{settings.secret('airflow_admin_password')}\n" * 2
    run_logged([*SEVERAL, *SET_UP], log, environment=variables, folder=ROOT, stdin=password, cancelled=cancelled)
    done.write_text(release)
    return "migrated, admin user created"


SEVERAL = (sys.executable, "-m", "sluice.orchestration.several")
"""Airflow's CLI for several commands."""
SET_UP = (
    *("db", "migrate", "then"),
    *("users", "create", "--username", ADMIN, "--role", "Admin"),
    *("--firstname", "Sluice", "--lastname", "Admin", "--email", "admin@localhost.invalid"),
)

TASK_SECRETS = ("lake_reader_password", "lake_keeper_password", "kafka_password", "schema_registry_password")
"""The secrets of tasks, besides their connections to the warehouse."""
PREIMPORTED_CLI = (sys.executable, "-m", "sluice.orchestration.preimport")
"""Airflow's CLI for components that fork a process per task."""

API_SERVER = Service(
    name="airflow-api-server",
    needs=("postgres", "airflow metadata"),
    ports=("airflow_port",),
    command=lambda _: command("api-server"),
    environment=lambda settings: environment(settings, secret_keys),
    check_health=lambda settings: probes.http_ok(settings.airflow_host, settings.airflow_port, "/api/v2/version"),
    start_seconds=180,
    # Browsers keep connections open; the server would wait two minutes for them to close.
    stop_seconds=5,
)
SCHEDULER = Service(
    name="airflow-scheduler",
    # Its tasks report to the API server and load from the lake: it starts after both and stops before them.
    needs=("airflow-api-server", "sink"),
    # Airflow's log server would listen on every interface; the API server reads the same files from disk.
    command=lambda _: [*PREIMPORTED_CLI, "scheduler", "--skip-serve-logs"],
    environment=lambda settings: environment(settings, secret_keys) | connections(settings),
    secrets=TASK_SECRETS,
    check_health=lambda settings: check_component(settings, "scheduler"),
    check_liveness=lambda settings: check_component_liveness(settings, "scheduler"),
    start_seconds=180,
)
DAG_PROCESSOR = replace(
    SCHEDULER,
    name="airflow-dag-processor",
    needs=("postgres", "airflow metadata"),
    command=lambda _: command("dag-processor"),
    environment=API_SERVER.environment,
    secrets=(),
    check_health=lambda settings: check_component(settings, "dag_processor"),
    check_liveness=lambda settings: check_component_liveness(settings, "dag_processor"),
)
TRIGGERER = replace(
    DAG_PROCESSOR,
    name="airflow-triggerer",
    command=lambda _: command("triggerer", "--skip-serve-logs"),
    check_health=lambda settings: check_component(settings, "triggerer"),
    check_liveness=lambda settings: check_component_liveness(settings, "triggerer"),
)
CLEANER = replace(
    DAG_PROCESSOR,
    name="airflow-cleaner",
    command=lambda _: [sys.executable, "-m", "infra.servers.airflow_cleaner"],
    environment=environment,
    # It has no endpoint.
    check_health=lambda _: None,
    check_liveness=lambda _: None,
)
CELERY_SCHEDULER = replace(
    SCHEDULER,
    needs=(*SCHEDULER.needs, "redis"),
    command=lambda _: command("scheduler", "--skip-serve-logs"),
    environment=lambda settings: environment(settings, secret_keys, celery_configuration),
    secrets=(),
)
"""The scheduler when workers run the tasks. It has no access to the lake and the warehouse."""


def worker(name: str, host: str | None = None) -> Service:
    """Returns a worker for CeleryExecutor, which runs up to two tasks in parallel.

    Args:
        name: the service's name.
        host: the worker's name in the queue, after ``celery@``; by default the machine's host name, which Airflow's
            official chart expects.
    """
    return replace(
        CELERY_SCHEDULER,
        name=name,
        command=lambda _: [
            *(*PREIMPORTED_CLI, "celery", "worker", "--skip-serve-logs"),
            *(["--celery-hostname", host] if host else []),
        ],
        environment=lambda settings: environment(settings, celery_configuration) | connections(settings),
        secrets=TASK_SECRETS,
        check_health=lambda settings: check_worker(settings, host or socket.gethostname()),
        check_liveness=lambda settings: check_worker_liveness(settings, host or socket.gethostname()),
    )
