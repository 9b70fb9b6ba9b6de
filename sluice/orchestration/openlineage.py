"""Lineage: which data sets each operator reads and writes, by OpenLineage's names.

Airflow's OpenLineage provider asks the operators and sends the events, if the platform has the URL of a server. It does
so in a process that it forks when a task starts and when it ends. Nothing here is imported otherwise.
"""

from collections.abc import Iterable
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.plugins import macros
from airflow.providers.openlineage.plugins.listener import get_openlineage_listener
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import RunFacet
from openlineage.common.provider.dbt.facets import ParentRunMetadata

from sluice.contracts import Contract
from sluice.settings import Settings
from sluice.transform.dbt import Dbt
from sluice.transform.lineage import Mart
from sluice.transform.openlineage import build_events
from sluice.warehouse.connect import warehouse_server

Lineage = OperatorLineage[Dataset, RunFacet]
"""The data sets that a task reads and writes."""


def topic_to_lake(settings: Settings, contract: Contract) -> Lineage:
    """Returns the lineage of a stream's table in the lake."""
    return Lineage(inputs=[_topic(settings, contract)], outputs=[_lake_table(settings, contract)])


def lake_to_raw(settings: Settings, contracts: Iterable[Contract]) -> Lineage:
    """Returns the lineage of the raw tables of some streams."""
    contracts = list(contracts)
    return Lineage(
        inputs=[_lake_table(settings, contract) for contract in contracts],
        outputs=[_relation(settings, "raw", contract.table) for contract in contracts],
    )


def staging_to_marts(settings: Settings, marts: Iterable[Mart]) -> Lineage:
    """Returns the lineage of marts that were published."""
    marts = list(marts)
    return Lineage(
        inputs=[_relation(settings, mart.schema, mart.name) for mart in marts],
        outputs=[_relation(settings, "marts", mart.name) for mart in marts],
    )


def send_build(dbt: Dbt | None, task_instance: Any) -> Lineage:
    """Sends the events of dbt's last build: the lineage of each model, from raw tables to the marts in staging.

    If one build needed several invocations of dbt, because columns have changed, the events are those of the last. The
    next build sends the others.

    Args:
        dbt: has run the build; None if there was none.
        task_instance: of the task that ran it.

    Returns:
        The lineage of the task itself: none, because each model is a run of its own.

    Raises:
        Exception: an event was not delivered, and the rest was not tried. The provider logs it, and the task succeeds.
    """
    if dbt is None:
        return Lineage()
    task = ParentRunMetadata(
        run_id=macros.lineage_run_id(task_instance),
        job_name=macros.lineage_job_name(task_instance),
        job_namespace=macros.lineage_job_namespace(),  # type: ignore[no-untyped-call]
        root_parent_run_id=macros.lineage_root_run_id(task_instance),
        root_parent_job_name=macros.lineage_root_job_name(task_instance),
        root_parent_job_namespace=macros.lineage_root_job_namespace(task_instance),
    )
    # Not the provider's `emit`, which ignores errors: a server that is down would cost a second per event.
    client = get_openlineage_listener().adapter.get_or_create_openlineage_client()
    for event in build_events(dbt, task):
        client.emit(event)
    return Lineage()


def _topic(settings: Settings, contract: Contract) -> Dataset:
    return Dataset(f"kafka://{settings.kafka.split(',')[0]}", contract.topic_name)


def _lake_table(settings: Settings, contract: Contract) -> Dataset:
    return Dataset(f"s3://{settings.lake_bucket}", contract.stream)


def _relation(settings: Settings, schema: str, name: str) -> Dataset:
    return Dataset(f"postgres://{warehouse_server(settings).address}", f"{settings.warehouse}.{schema}.{name}")
