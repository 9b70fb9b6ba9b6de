"""MinIO: the object store that holds the lake."""

from infra.servers import probes
from infra.servers.service import TOOLS, Service
from sluice.settings import Settings

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
NEEDS_GO = (1, 24)
"""The Go release that its go.mod asks for."""
BINARY = TOOLS / f"minio-{VERSION}" / "minio"
ROOT_USER = "sluice-root"


def prepare(settings: Settings) -> None:
    """Makes the data folder, for this user alone."""
    (settings.home / "minio").mkdir(mode=0o700, parents=True, exist_ok=True)


def command(settings: Settings) -> list[str]:
    """The server's command line."""
    console = f"{settings.minio_host}:{settings.minio_console_port}"
    data = str(settings.home / "minio")
    return [str(BINARY), "server", "--address", settings.minio, "--console-address", console, data]


def environment(settings: Settings) -> dict[str, str]:
    """The root user, and no questions to the outside."""
    return {
        "MINIO_ROOT_USER": ROOT_USER,
        "MINIO_ROOT_PASSWORD": settings.secret("minio_root_password"),
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
        # The folder is on the machine's own disk, which is what MinIO otherwise warns about on each start.
        "MINIO_CI_CD": "on",
        "GOMEMLIMIT": "512MiB",
    }


MINIO = Service(
    name="minio",
    needs=("install minio",),
    ports=("minio_port", "minio_console_port"),
    prepare=prepare,
    command=command,
    environment=environment,
    healthy=lambda settings: probes.http_ok(settings.minio_host, settings.minio_port, "/minio/health/cluster"),
)
