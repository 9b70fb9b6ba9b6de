"""The assets through which one DAG's work starts another's."""

from airflow.sdk import Asset, AssetAlias

from sluice.contracts import Contract


def raw_table(contract: Contract) -> Asset:
    """The raw table of a stream. An event on it says: it holds dates that the marts have not been built from."""
    # A name and no address: the warehouse's port may change, and the asset with its history stays the same one.
    return Asset(name=f"raw.{contract.table}", group="warehouse")


REPROCESSED = AssetAlias(name="rebuilt", group="warehouse")
"""Stands for the raw tables that a backfill has changed: which, and whether it is time to say so, its tasks decide."""
