"""Spark, with `make up ENGINE=spark`: a standalone cluster of a master and two workers, each with a page of its own.

Programs, workers and master know each other by a secret (``spark.authenticate``). It is in the environment, under the
name that Spark gives it, which executors inherit from their worker.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.servers import probes
from infra.servers.service import Service
from sluice.errors import TransientError
from sluice.settings import ROOT, Settings
from sluice.settings.spark import SPARK_JARS, SPARK_JAVA_HOME, SPARK_PYTHON, spark_home

OPTIONS = {
    "spark.authenticate": "true",
    # Programs are submitted by their own driver alone, and nothing is stopped or decommissioned on a page, which asks
    # for no password.
    "spark.master.rest.enabled": "false",
    "spark.master.ui.decommission.allow.mode": "DENY",
    "spark.ui.killEnabled": "false",
    # The folders of programs that ended an hour ago are removed.
    "spark.worker.cleanup.enabled": "true",
    "spark.worker.cleanup.interval": "600",
    "spark.worker.cleanup.appDataTtl": "3600",
}
DAEMON_MEMORY = "256m"
"""The heap of the master and of each worker. Programs run in executors, which are processes of their own."""
SECRET_VARIABLE = "_SPARK_AUTH_SECRET"  # noqa: S105 - a name, no secret
MASTER_CLASS = "org.apache.spark.deploy.master.Master"
WORKER_CLASS = "org.apache.spark.deploy.worker.Worker"


def daemon_options() -> str:
    """Returns the options of Java for the master and the workers, as one text."""
    memory = ["-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    return " ".join([*memory, *(f"-D{name}={value}" for name, value in OPTIONS.items())])


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / "spark" / name


def _prepare(name: str) -> Callable[[Settings], None]:
    """Returns what creates a service's folder, accessible only to this user."""

    def prepare(settings: Settings) -> None:
        (settings.home / "spark").mkdir(mode=0o700, parents=True, exist_ok=True)
        _folder(settings, name).mkdir(mode=0o700, exist_ok=True)

    return prepare


def _command(server: str, *arguments: str) -> list[str]:
    return [str(spark_home() / "bin" / "spark-class"), server, *arguments]


def master_command(settings: Settings) -> list[str]:
    """Returns the master's command line."""
    addresses = ["--host", settings.spark_host, "--port", str(settings.spark_port)]
    return _command(MASTER_CLASS, *addresses, "--webui-port", str(settings.spark_ui_port))


def worker_command(settings: Settings, name: str, ui_port: str) -> list[str]:
    """Returns a worker's command line.

    Args:
        settings: the addresses, and what the worker offers to programs.
        name: the service's name.
        ui_port: the setting of its page's port.
    """
    return _command(
        WORKER_CLASS,
        *("--host", settings.spark_host, "--webui-port", str(getattr(settings, ui_port))),
        *("--cores", str(settings.spark_worker_cores), "--memory", settings.spark_worker_memory),
        *("--work-dir", str(_folder(settings, name) / "work")),
        settings.spark_master,
    )


def _environment(settings: Settings, name: str) -> dict[str, str]:
    return {
        "SPARK_HOME": str(spark_home()),
        "JAVA_HOME": str(SPARK_JAVA_HOME),
        "SPARK_DAEMON_MEMORY": DAEMON_MEMORY,
        "SPARK_DAEMON_JAVA_OPTS": daemon_options(),
        # Otherwise the pages would be served on every interface.
        "SPARK_LOCAL_IP": settings.spark_host,
        "SPARK_LOCAL_DIRS": str(_folder(settings, name)),
        SECRET_VARIABLE: settings.secret("spark_secret"),
    }


def _worker_environment(settings: Settings, name: str) -> dict[str, str]:
    """Returns the variables of a worker, which its executors and their Python processes inherit."""
    return {
        **_environment(settings, name),
        # Executors get the jars for Delta tables and S3 here: no program has to send them.
        "SPARK_DIST_CLASSPATH": f"{SPARK_JARS}/*",
        "PYSPARK_PYTHON": str(SPARK_PYTHON),
        "PYTHONPATH": str(ROOT),
        # A program that names no Python has the executors start `python3`.
        "PATH": f"{SPARK_PYTHON.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    }


def _page(settings: Settings, ui_port: str) -> dict[str, Any]:
    """Returns what a page says, as data.

    Raises:
        TransientError: no response in time.
    """
    page: dict[str, Any] = probes.http_json(settings.spark_host, getattr(settings, ui_port), "/json/")
    return page


def _live_workers(settings: Settings) -> list[str]:
    workers = _page(settings, "spark_ui_port")["workers"]
    return [worker["id"] for worker in workers if worker["state"] == "ALIVE"]


def check_master(settings: Settings) -> str | None:
    """Returns None if the master accepts workers and programs, otherwise the reason why not."""
    try:
        status = _page(settings, "spark_ui_port")["status"]
    except TransientError as error:
        return str(error)
    return None if status == "ALIVE" else f"the master is {status}"


def master_notice(settings: Settings) -> str | None:
    """Returns how many workers are registered, if not all are; None if the master is down."""
    try:
        count = len(_live_workers(settings))
    except TransientError:
        return None
    return None if count >= len(WORKERS) else f"{count} of {len(WORKERS)} workers registered"


def check_worker(settings: Settings, ui_port: str) -> str | None:
    """Returns None if a worker is registered with the master, otherwise the reason why not."""
    try:
        is_registered = _page(settings, ui_port)["id"] in _live_workers(settings)
    except TransientError as error:
        return str(error)
    return None if is_registered else f"not registered with the master at {settings.spark_master}"


MASTER = Service(
    name="spark-master",
    needs=("install spark",),
    ports=("spark_ui_port", "spark_port"),
    option=" ENGINE=spark",
    prepare=_prepare("spark-master"),
    command=master_command,
    environment=lambda settings: _environment(settings, "spark-master"),
    check_health=check_master,
    notice=master_notice,
)


def worker(number: int) -> Service:
    """Returns a worker by its number, 1 or 2."""
    name, ui_port = f"spark-worker-{number}", f"spark_worker_{number}_ui_port"
    return Service(
        name=name,
        needs=(MASTER.name,),
        ports=(ui_port,),
        option=MASTER.option,
        prepare=_prepare(name),
        command=lambda settings: worker_command(settings, name, ui_port),
        environment=lambda settings: _worker_environment(settings, name),
        check_health=lambda settings: check_worker(settings, ui_port),
    )


WORKERS = (worker(1), worker(2))
SPARK = (MASTER, *WORKERS)
"""The services of the cluster."""
