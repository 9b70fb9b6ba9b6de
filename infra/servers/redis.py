"""Redis: the queue from which Airflow's workers take tasks; only with CeleryExecutor."""

import os
from pathlib import Path

from infra.servers.service import Service
from infra.servers.toolchains import find_redis
from sluice.errors import SluiceError
from sluice.settings import Settings

HINT = "run `sudo apt-get install -y redis-server`"
OPTIONS = {
    # A process title would overwrite the environment, which identifies leftover processes.
    "set-proc-title": "no",
    # Queued tasks survive a restart.
    "appendonly": "yes",
    "maxmemory": "128mb",
}


def prepare(settings: Settings) -> None:
    """Writes the configuration file, readable only by this user: on a command line the password would be visible."""
    folder = settings.home / "redis"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {"bind": settings.redis_host, "port": str(settings.redis_port), "dir": _quoted(str(folder)), **OPTIONS}
    options["requirepass"] = _quoted(settings.secret("redis_password"))
    path = folder / "redis.conf"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name} {value}\n" for name, value in options.items())


def _quoted(value: str) -> str:
    """Returns a value as Redis's configuration quotes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def command(settings: Settings) -> list[str]:
    """Returns the server's command line."""
    return [str(program()), str(settings.home / "redis" / "redis.conf")]


def program() -> Path:
    """Returns the path of the machine's Redis server.

    Raises:
        SluiceError: Redis is not installed.
    """
    found = find_redis()
    if found is None:
        raise SluiceError("Redis, the queue of Airflow's workers, is missing", HINT)
    return found


def check_health(settings: Settings) -> str | None:
    """Pings Redis with the password, which fails while it is loading its data; returns None, or the error."""
    from redis import Redis, RedisError

    password = settings.secret("redis_password")
    with Redis(settings.redis_host, settings.redis_port, password=password, socket_timeout=3) as client:
        try:
            client.ping()
        except RedisError as error:
            return f"no response on {settings.redis_host}:{settings.redis_port} ({error})"
    return None


REDIS = Service(
    name="redis",
    needs=("find redis",),
    ports=("redis_port",),
    prepare=prepare,
    command=command,
    check_health=check_health,
)
