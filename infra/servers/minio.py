"""MinIO: the object store that holds the lake."""

from infra.servers import probes
from infra.servers.service import TOOLS, Service
from sluice.settings import ROOT, Settings

MODULE = "github.com/minio/minio"
SOURCE = ROOT / "infra" / "minio"
"""The Go module that locks what MinIO is built from."""
BUILD_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    # Less frequent garbage collection in the compiler: trades memory for time, up to a limit per package.
    "GOGC": "400",
    "GOMEMLIMIT": "1GiB",
}
# No debug information: an eighth less work, and a binary a third smaller.
BUILD_FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w")
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
MIN_GO_VERSION = (1, 24)
"""The Go version that MinIO's go.mod requires."""
BINARY = TOOLS / f"minio-{VERSION}" / "minio"
ROOT_USER = "sluice-root"


def prepare(settings: Settings) -> None:
    """Creates the data folder, accessible only to this user."""
    (settings.home / "minio").mkdir(mode=0o700, parents=True, exist_ok=True)


def command(settings: Settings) -> list[str]:
    """Returns the server's command line."""
    console = f"{settings.minio_host}:{settings.minio_console_port}"
    data = str(settings.home / "minio")
    return [str(BINARY), "server", "--address", settings.minio, "--console-address", console, data]


def environment(settings: Settings) -> dict[str, str]:
    """Returns the root user's credentials and the options that keep MinIO from calling home."""
    return {
        "MINIO_ROOT_USER": ROOT_USER,
        "MINIO_ROOT_PASSWORD": settings.secret("minio_root_password"),
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
        # Without it MinIO warns on each start that its data is on the root disk.
        "MINIO_CI_CD": "on",
        "GOMEMLIMIT": "512MiB",
        # Garbage is collected when the heap has grown by half, not to twice its size: 50 MiB less at rest.
        "GOGC": "50",
    }


MINIO = Service(
    name="minio",
    needs=("install minio",),
    ports=("minio_port", "minio_console_port"),
    prepare=prepare,
    command=command,
    environment=environment,
    check_health=lambda settings: probes.http_ok(settings.minio_host, settings.minio_port, "/minio/health/cluster"),
)
