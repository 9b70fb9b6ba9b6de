"""The assets: what flows through the platform, from Kafka's topics to the dashboard.

Airflow's asset graph connects them through the tasks that read and write them. An asset has a name and no address:
the warehouse's port may change, and the asset keeps its identity and history.
"""

from pathlib import Path

from airflow.sdk import Asset, AssetAlias

from sluice.contracts import Contract
from sluice.dbt_project import mart_names


def topic(contract: Contract) -> Asset:
    """Returns the Kafka topic of a stream, which producers write."""
    return Asset(name=f"topic.{contract.topic_name}", group="kafka")


def lake_table(contract: Contract) -> Asset:
    """Returns a stream's table in the lake, which the sink writes. An event on it means that its end was checked."""
    return Asset(name=f"lake.{contract.stream}", group="lake")


def raw_table(contract: Contract) -> Asset:
    """Returns the raw table of a stream. An event on it means that the table has dates whose marts are stale."""
    return Asset(name=f"raw.{contract.table}", group="warehouse")


STAGING = Asset(name="staging", group="warehouse")
"""What dbt has built and tested, and readers do not see yet."""


def marts(project: Path) -> list[Asset]:
    """Returns the marts of a dbt project. An event on one means that it was published."""
    # Airflow refuses other names.
    return [Asset(name=f"marts.{name}", group="warehouse") for name in mart_names(project) if name.isascii()]


DASHBOARD = Asset(name="dashboard", group="dashboard")
"""The pages that show the marts. An event on it means that a run has published, or has generated the models' pages."""

REPROCESSED = AssetAlias(name="rebuilt", group="warehouse")
"""Stands for the raw tables that a backfill has changed: its tasks decide which of them emit an event, and when."""
