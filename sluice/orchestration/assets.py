"""The assets through which one DAG triggers another."""

from airflow.sdk import Asset, AssetAlias

from sluice.contracts import Contract


def raw_table(contract: Contract) -> Asset:
    """Returns the raw table of a stream. An event on it means that the table has dates whose marts are stale."""
    # A name without an address: the warehouse's port may change, and the asset keeps its identity and history.
    return Asset(name=f"raw.{contract.table}", group="warehouse")


REPROCESSED = AssetAlias(name="rebuilt", group="warehouse")
"""Stands for the raw tables that a backfill has changed: its tasks decide which of them emit an event, and when."""
