"""Redis: the queue from which Airflow's workers take tasks. Only with CeleryExecutor."""

import os
from pathlib import Path

from infra.servers.service import Service
from infra.servers.toolchains import find_redis
from sluice.errors import SluiceError
from sluice.settings import Settings

HINT = "run `sudo apt-get install -y redis-server`"
OPTIONS = {
    # A title would be written over the environment, by which leftovers are found.
    "set-proc-title": "no",
    # What is queued outlives it.
    "appendonly": "yes",
    "maxmemory": "128mb",
}


def prepare(settings: Settings) -> None:
    """Writes its configuration, for this user alone: it holds the password, which a command line would show."""
    folder = settings.home / "redis"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {"bind": settings.redis_host, "port": str(settings.redis_port), "dir": f'"{folder}"', **OPTIONS}
    options["requirepass"] = settings.secret("redis_password")
    file = folder / "redis.conf"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
        written.writelines(f"{name} {value}\n" for name, value in options.items())


def command(settings: Settings) -> list[str]:
    """The server's command line."""
    return [str(program()), str(settings.home / "redis" / "redis.conf")]


def program() -> Path:
    """The machine's Redis.

    Raises:
        SluiceError: it has none.
    """
    found = find_redis()
    if found is None:
        raise SluiceError("Redis is missing, from which Airflow's workers take tasks", HINT)
    return found


def healthy(settings: Settings) -> str | None:
    """Asks it, with the password, whether it answers; while it still reads its data it says that it does not."""
    from redis import Redis, RedisError

    password = settings.secret("redis_password")
    with Redis(settings.redis_host, settings.redis_port, password=password, socket_timeout=3) as client:
        try:
            client.ping()
        except RedisError as error:
            return f"no answer on {settings.redis_host}:{settings.redis_port} ({error})"
    return None


REDIS = Service(
    name="redis",
    needs=("find redis",),
    ports=("redis_port",),
    prepare=prepare,
    command=command,
    healthy=healthy,
)
