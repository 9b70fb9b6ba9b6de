"""Where a browser finds the platform's pages. Servers ask each other elsewhere: in containers by name."""

from dataclasses import dataclass

from sluice.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """Addresses without a trailing slash."""

    airflow: str
    dashboard: str
    lake: str
    """The lake's bucket in MinIO's console; a stream's folder is below it."""

    @property
    def dbt(self) -> str:
        """The models' documentation, which the dashboard serves."""
        return f"{self.dashboard}/dbt"


def addresses(settings: Settings) -> Addresses:
    """The pages of the platform that has these settings."""
    console = settings.minio_console_url or f"http://{settings.minio_host}:{settings.minio_console_port}"
    return Addresses(
        airflow=settings.airflow_url or settings.airflow,
        dashboard=settings.dashboard_url or f"http://{settings.dashboard_host}:{settings.dashboard_port}",
        lake=f"{console}/browser/{settings.lake_bucket}",
    )
