"""Airflow on a complete platform: runs without parameters, the asset graph, and steps that are cleared alone."""

from datetime import date

import pytest

from sluice.alerts.runs import failed_runs
from sluice.contracts import load_contracts
from sluice.load import mark_stale
from sluice.orchestration.batch import airflow_client
from sluice.orchestration.follow import Run, trigger_run
from sluice.orchestration.rest import Airflow, Json
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

DAGS = ("load_weather_observed", "maintain", "monitor", "reconcile", "transform")
FINAL = ("success", "failed")


def wait_for_end(airflow: Airflow, run: Run) -> str:
    """Returns the final state of a run."""
    return wait(
        f"the run of {run.dag_id} to end",
        lambda: state if (state := airflow.run(run.dag_id, run.run_id)["state"]) in FINAL else None,
        seconds=900,
    )


def states(airflow: Airflow, run: Run) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in airflow.tasks(run.dag_id, run.run_id)}


def clear(airflow: Airflow, run: Run, *task_ids: str) -> None:
    body = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": list(task_ids), "only_failed": False}
    airflow._post(f"/dags/{run.dag_id}/clearTaskInstances", body)
    wait("the run to start again", lambda: airflow.run(run.dag_id, run.run_id)["state"] not in FINAL)


def build_a_date(platform: Running, airflow: Airflow) -> Run:
    """Rebuilds a date; returns the run."""
    settings = platform.settings
    mark_stale(settings, load_contracts(settings.contracts)["flights.departed"], [date(2013, 1, 10)])
    run = trigger_run(airflow, "transform")
    assert wait_for_end(airflow, run) == "success"
    return run


def test_every_dag_runs_without_parameters_or_says_in_one_line_what_it_needs(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        runs = [trigger_run(airflow, dag_id) for dag_id in (*DAGS, "reprocess")]
        *ended, reprocess = [(wait_for_end(airflow, run), run) for run in runs]
        assert [state for state, _ in ended] == ["success"] * len(DAGS)
        state, run = reprocess
        assert state == "failed"
        (task,) = airflow.tasks(run.dag_id, run.run_id)
        assert task["try_number"] == 1
        errors = [entry for entry in airflow.log(run.dag_id, run.run_id, "reload", 1) if entry.get("error_detail")]
        assert "there is no date to reload" in str(errors[-1]["error_detail"][0]["exc_value"])
        # Nothing is wrong with the platform.
        problem = failed_runs(platform.settings).get("reprocess")
        assert problem is None or problem.run.run_id != run.run_id


def test_the_asset_graph_leads_from_the_topics_to_the_dashboard(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        assets = {asset["name"]: asset for asset in airflow._get("/assets", {"limit": 200})["assets"]}
        graph = _graph(airflow, assets["dashboard"])
        labels = {node["id"]: node["label"] for node in graph["nodes"]}
        edges = {(labels[edge["source_id"]], labels[edge["target_id"]]) for edge in graph["edges"]}
        for stream, contract in load_contracts(platform.settings.contracts).items():
            load = contract.dag_id
            assert {
                (f"topic.{stream}", f"{load}.freshness"),
                (f"{load}.freshness", f"lake.{stream}"),
                (f"lake.{stream}", f"{load}.load"),
                (f"{load}.load", f"raw.{contract.table}"),
                (f"raw.{contract.table}", "transform.build"),
            } <= edges
        assert {
            ("transform.build", "staging"),
            ("staging", "transform.publish"),
            ("transform.publish", "marts.fct_flights"),
            ("marts.fct_flights", "transform.document"),
            ("transform.document", "dashboard"),
            ("transform.publish", "dashboard"),
        } <= edges
        loaded = _newest_figures(airflow, assets["raw.flights_departed"], "load")
        assert {"rows", "quarantined", "dates", "offsets", "seconds"} <= loaded.keys()
        published = _newest_figures(airflow, assets["marts.fct_flights"])
        assert {"dates", "tests", "seconds", "run", "marts"} <= published.keys()
        # The dashboard shows the same run.
        assert _newest_figures(airflow, assets["dashboard"], "publish") == published
        documented = _newest_figures(airflow, assets["dashboard"], "document")
        assert documented["documentation"] == "generated"
        assert min(documented[kind] for kind in ("models", "tests", "exposures")) > 0
        assert {"lag", "kafka", "lake"} <= _newest_figures(airflow, assets["lake.flights.departed"]).keys()


def test_a_step_that_is_cleared_runs_alone(platform: Running) -> None:
    with airflow_client(platform.settings) as airflow:
        before = platform.checksum("fct_flights")
        run = build_a_date(platform, airflow)
        done = {"plan": "success", "build": "success", "test": "success", "publish": "success", "document": "skipped"}
        assert states(airflow, run) == done
        clear(airflow, run, "publish")
        assert wait_for_end(airflow, run) == "success"
        tries = {task["task_id"]: task["try_number"] for task in airflow.tasks(run.dag_id, run.run_id)}
        assert tries["publish"] == 2
        assert tries["build"] == 1
        # Its dates are built: there is nothing to build, and nothing is published.
        clear(airflow, run, "build")
        assert wait_for_end(airflow, run) == "success"
        assert states(airflow, run) == done | {"build": "skipped"}
        assert platform.checksum("fct_flights") == before


def _graph(airflow: Airflow, asset: Json) -> Json:
    """Returns Airflow's asset graph, as its UI draws it, of everything that is connected with an asset."""
    # The UI's own endpoint, beside the public API.
    if airflow._token is None:
        airflow._token = airflow._login()
    query = {"node_id": f"asset:{asset['id']}", "dependency_type": "data"}
    response = airflow._send("GET", "/ui/dependencies", params=query)
    response.raise_for_status()
    graph: Json = response.json()
    return graph


def _newest_figures(airflow: Airflow, asset: Json, task_id: str | None = None) -> Json:
    query = {"asset_id": asset["id"], "order_by": "-timestamp", "limit": 20}
    if task_id:
        query["source_task_id"] = task_id
    events = airflow._get("/assets/events", query)["asset_events"]
    figures: Json = events[0]["extra"]
    return figures


@pytest.fixture(autouse=True)
def settled(platform: Running) -> None:
    """Loads and builds what is there, so that the periodic runs have nothing to do."""
    platform.sluice("load")
    platform.sluice("transform")
