"""The events of real tasks, at an OpenLineage server: one graph of data sets, from topics to marts."""

import json
from collections import defaultdict
from typing import Any

import pytest
from airflow.sdk import DAG

from infra.config.settings_file import SECRETS
from sluice.dbt_project import mart_names
from sluice.orchestration import operators, transforms
from sluice.orchestration.operators import FreshnessOperator, LoadOperator
from sluice.orchestration.transforms import BuildOperator, PlanOperator, PublishOperator
from sluice.settings import Settings
from tests.fixtures.marts import FIRST, Marts, make_marts
from tests.fixtures.openlineage import send_completion, server, task_instance

DataSet = tuple[str, str]
"""Namespace and name."""


@pytest.fixture(scope="module")
def marts(servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Marts:
    """Raw tables of the first date, and no marts yet."""
    marts = make_marts(servers, tmp_path_factory.mktemp("openlineage"), "openlineage")
    marts.fill(FIRST)
    return marts


@pytest.fixture(scope="module")
def events(marts: Marts) -> list[dict[str, Any]]:
    """What the server receives of loads and a transform."""
    with server(marts.settings) as received, pytest.MonkeyPatch.context() as patch:
        for module in (operators, transforms):
            patch.setattr(module, "settings_as", lambda *roles: marts.settings)
        patch.setattr(operators, "load_settings", lambda: marts.settings)
        for contract in marts.raw.contracts.values():
            with DAG(contract.dag_id):
                send_completion(FreshnessOperator(task_id="freshness", stream=contract.stream))
                send_completion(LoadOperator(task_id="load", stream=contract.stream))
        with DAG("transform"):
            for step in (PlanOperator, BuildOperator, PublishOperator):
                task = step(task_id=step.__name__.removesuffix("Operator").lower(), run_name="a run")
                task.execute({"ti": task_instance(task)})  # type: ignore[typeddict-item]
                send_completion(task)
        assert set(received.paths) == {"/api/v1/lineage"}
        return received.bodies


def data_sets(event: dict[str, Any], side: str) -> set[DataSet]:
    return {(data_set["namespace"], data_set["name"]) for data_set in event[side]}


def sources(events: list[dict[str, Any]], found: DataSet) -> set[DataSet]:
    """Returns every data set from which there is a path to a data set."""
    parents = defaultdict(set)
    for event in events:
        for output in data_sets(event, "outputs"):
            parents[output] |= data_sets(event, "inputs")
    reached, pending = set[DataSet](), [found]
    while pending:
        new = parents[pending.pop()] - reached
        reached |= new
        pending += new
    return reached


def test_a_path_leads_from_topics_and_lake_tables_to_every_mart(marts: Marts, events: list[dict[str, Any]]) -> None:
    settings = marts.settings
    postgres, kafka = f"postgres://127.0.0.1:{settings.postgres_port}", f"kafka://127.0.0.1:{settings.kafka_port}"
    flights = {stream: contract for stream, contract in marts.raw.contracts.items() if stream.startswith("flights.")}
    origins = {
        origin
        for stream, contract in flights.items()
        for origin in (
            (kafka, contract.topic_name),
            (f"s3://{settings.lake_bucket}", stream),
            (postgres, f"{settings.warehouse}.raw.{contract.table}"),
        )
    }
    names = mart_names(settings.dbt)
    assert len(names) > 5
    for name in names:
        path = sources(events, (postgres, f"{settings.warehouse}.marts.{name}"))
        assert path >= origins, name
        assert (postgres, f"{settings.warehouse}.staging.{name}") in path


def test_no_data_set_is_outside_the_graph_of_the_platform(marts: Marts, events: list[dict[str, Any]]) -> None:
    # Another spelling of a name would be a data set of its own.
    settings = marts.settings
    every = {found for event in events for side in ("inputs", "outputs") for found in data_sets(event, side)}
    streams = marts.raw.contracts
    assert {name for namespace, name in every if namespace == f"s3://{settings.lake_bucket}"} == streams.keys()
    relations = {name for namespace, name in every if namespace == f"postgres://127.0.0.1:{settings.postgres_port}"}
    assert {name.split(".")[0] for name in relations} == {settings.warehouse}
    existing = marts.query("select schemaname || '.' || tablename as name from pg_tables", "transformer")["name"]
    assert {name.split(".", 1)[1] for name in relations} <= set(existing)
    assert len(every) == len(relations) + 2 * len(streams)


def test_the_runs_of_models_belong_to_the_task_that_built_them(events: list[dict[str, Any]]) -> None:
    jobs = {event["job"]["name"] for event in events}
    assert {"load_flights_departed.load", "transform.build", "transform.publish"} <= jobs
    assert {event["job"]["namespace"] for event in events} == {"sluice"}
    parents = {event["run"]["facets"]["parent"]["job"]["name"] for event in events if ".build." in event["job"]["name"]}
    assert parents == {"transform.build"}


def test_no_event_has_a_secret(marts: Marts, events: list[dict[str, Any]]) -> None:
    secrets = [getattr(marts.settings, name) for name in SECRETS]
    values = [secret.get_secret_value() for secret in secrets if secret is not None]
    assert len(values) > 5
    text = json.dumps(events)
    assert not [value for value in values if value in text]
