"""The DAG files: the DAGs they define, their documentation and limits, and that parsing them contacts no server."""

import re
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset, AssetAny
from airflow.serialization.serialized_objects import DagSerialization

from sluice.contracts import load_contracts
from sluice.orchestration.retries import RETRY_POLICY
from sluice.settings import ROOT

CONTRACTS = load_contracts(ROOT / "contracts")
LOADS = {contract.dag_id for contract in CONTRACTS.values()}
OTHERS = {"transform", "reprocess", "reconcile", "maintain", "monitor", "lakehouse"}


def parse(folder: Path) -> DagBag:
    return DagBag(folder, collect_dags=True)


def assert_complete(bag: DagBag, expected: set[str]) -> None:
    """Asserts that all files import and define exactly the expected DAGs."""
    assert bag.import_errors == {}
    assert set(bag.dag_ids) == expected


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a platform on which Spark was launched."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "spark").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SLUICE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return parse(ROOT / "dags")


@pytest.fixture(scope="module", params=sorted(LOADS | OTHERS))
def dag(request: pytest.FixtureRequest, bag: DagBag) -> DAG:
    return bag.dags[request.param]


def test_the_folder_defines_a_load_per_contract_and_the_six_other_dags(bag: DagBag) -> None:
    assert_complete(bag, LOADS | OTHERS)


def test_where_spark_was_never_launched_there_is_no_dag_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    assert_complete(parse(ROOT / "dags"), LOADS | OTHERS - {"lakehouse"})


def test_a_file_that_does_not_import_is_detected(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dags", tmp_path / "dags")
    (tmp_path / "dags" / "broken.py").write_text('"""An Airflow DAG."""\nimport no_such_module\n')
    broken = parse(tmp_path / "dags")
    assert [Path(file).name for file in broken.import_errors] == ["broken.py"]
    with pytest.raises(AssertionError):
        assert_complete(broken, LOADS | OTHERS)


def test_an_empty_folder_is_detected(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        assert_complete(parse(tmp_path), LOADS | OTHERS)


def test_a_new_contract_defines_a_load_that_triggers_the_transform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    text = (
        (contracts / "weather.observed.yaml").read_text().replace("stream: weather.observed", "stream: gates.changed")
    )
    (contracts / "gates.changed.yaml").write_text(text)
    monkeypatch.setenv("SLUICE_CONTRACTS", str(contracts))
    bag = parse(ROOT / "dags")
    assert_complete(bag, LOADS | OTHERS | {"load_gates_changed"})
    assert "raw.gates_changed" in {asset.name for asset in bag.dags["transform"].schedule.objects}
    assert "maintain_gates_changed" in bag.dags["maintain"].task_ids


@pytest.mark.parametrize("text", ["stream: a.b\n", "[", ""])
def test_an_invalid_contract_removes_its_own_load_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    (contracts / "a.b.yaml").write_text(text)
    (contracts / "weather.observed.yaml").write_text(text)
    monkeypatch.setenv("SLUICE_CONTRACTS", str(contracts))
    bag = parse(ROOT / "dags")
    assert_complete(bag, (LOADS | OTHERS) - {"load_weather_observed"})
    # The rest of the flow stays connected.
    assert {"raw.flights_arrived", "marts.fct_flights", "dashboard"} <= reachable(
        data_edges(bag), "topic.flights.arrived"
    )


def test_without_any_contract_only_its_loads_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CONTRACTS", str(tmp_path))
    bag = parse(ROOT / "dags")
    assert_complete(bag, OTHERS)
    for dag in bag.dags.values():
        dag.validate()
        assert dag.params.validate() is not None
    assert bag.dags["maintain"].task_ids == []


def test_a_schedule_that_no_contract_may_have_would_remove_every_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "contracts", contracts)
    path = contracts / "weather.observed.yaml"
    path.write_text(path.read_text().replace("schedule: ", 'schedule: "61 * * * *" # '))
    monkeypatch.setenv("SLUICE_CONTRACTS", str(contracts))
    assert_complete(parse(ROOT / "dags"), (LOADS | OTHERS) - {"load_weather_observed"})


def test_parsing_the_files_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a DAG file opened a connection while it was parsed")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert_complete(parse(ROOT / "dags"), LOADS | OTHERS)


def test_parsing_the_files_needs_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_ENV_FILE", str(tmp_path / "none"))
    assert_complete(parse(ROOT / "dags"), LOADS | OTHERS)


def test_every_dag_is_documented(dag: DAG) -> None:
    assert dag.description
    assert dag.doc_md
    assert dag.tags
    for phrase in ("When", "When it fails", "make ", "make status", "**Asset graph**: ["):
        assert phrase in dag.doc_md, phrase
    for task in dag.tasks:
        assert task.doc_md, task.task_id
        assert 1 <= len(re.findall(r"\.(?=\s|$)", task.doc_md)) <= 3, task.doc_md
        assert task.owner not in ("", "airflow"), task.task_id


def test_every_dag_has_limits(dag: DAG) -> None:
    assert dag.catchup is False
    assert dag.max_active_runs <= 3
    assert dag.dagrun_timeout is not None
    assert dag.is_paused_upon_creation is False
    for task in dag.tasks:
        assert task.execution_timeout is not None
        assert task.execution_timeout < dag.dagrun_timeout


def test_every_task_has_the_same_retry_policy(dag: DAG) -> None:
    for task in dag.tasks:
        # A freshness check is not retried: that would keep the next load waiting.
        assert task.retries >= 3 or (task.task_id, task.retries) == ("freshness", 0)
        assert task.retry_policy is RETRY_POLICY
        assert task.retry_exponential_backoff == 2.0
        assert task.max_retry_delay == timedelta(minutes=5)


def test_new_data_goes_before_checks_and_maintenance(bag: DagBag) -> None:
    data = [bag.dags[name].get_task("load") for name in LOADS] + [*bag.dags["transform"].tasks]
    others = [task for name in ("monitor", "reconcile", "maintain") for task in bag.dags[name].tasks]
    others += [bag.dags[name].get_task("freshness") for name in LOADS]
    assert min(task.priority_weight for task in data) > max(task.priority_weight for task in others)


def test_every_dag_links_only_to_the_pages_of_this_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, port in (("DASHBOARD", 4321), ("MINIO_CONSOLE", 4322), ("AIRFLOW", 4323)):
        monkeypatch.setenv(f"SLUICE_{name}_PORT", str(port))
    bag = parse(ROOT / "dags")
    assert_complete(bag, LOADS | OTHERS)
    for dag in bag.dags.values():
        links = set(re.findall(r"\]\(([^)\s]+)\)", dag.doc_md or ""))
        for page in (
            "http://127.0.0.1:4321/pipeline",
            "http://127.0.0.1:4321/dbt",
            "http://127.0.0.1:4322/browser/lake",
            "http://127.0.0.1:4323/assets",
        ):
            assert any(link.startswith(page) for link in links), (dag.dag_id, page)
        texts = [dag.doc_md or "", *(task.doc_md or "" for task in dag.tasks)]
        hosts = {link for text in texts for link in re.findall(r"https?://[^/)\s]+", text)}
        assert hosts <= {f"http://127.0.0.1:{port}" for port in (4321, 4322, 4323)}, dag.dag_id


@pytest.mark.parametrize("stream", sorted(CONTRACTS))
def test_a_load_is_defined_by_its_contract(bag: DagBag, stream: str) -> None:
    contract = CONTRACTS[stream]
    dag = bag.dags[contract.dag_id]
    assert dag.schedule == contract.load.schedule
    assert dag.max_active_runs == 1
    task = dag.get_task("load")
    assert task.owner == contract.owner
    assert task.stream == stream
    assert [asset.name for asset in task.outlets if isinstance(asset, Asset)] == [f"raw.{contract.table}"]
    assert contract.description in (dag.doc_md or "")
    assert f"/browser/lake/{stream})" in (dag.doc_md or "")
    for column in contract.columns:
        assert f"| `{column.name}` | {column.type} |" in (dag.doc_md or "")


def data_edges(bag: DagBag) -> set[tuple[str, str]]:
    """Returns the edges of Airflow's asset graph: from a task's inlets to the task, and from there to its outlets."""
    edges: set[tuple[str, str]] = set()
    for dag in bag.dags.values():
        for task in dag.tasks:
            name = f"{dag.dag_id}.{task.task_id}"
            edges |= {(asset.name, name) for asset in task.inlets if isinstance(asset, Asset)}
            edges |= {(name, asset.name) for asset in task.outlets if isinstance(asset, Asset)}
    return edges


def reachable(edges: set[tuple[str, str]], start: str) -> set[str]:
    found, pending = {start}, [start]
    while pending:
        new = {target for source, target in edges if source == pending[-1]} - found
        pending.pop()
        found |= new
        pending += new
    return found


@pytest.mark.parametrize("stream", sorted(CONTRACTS))
def test_the_asset_graph_leads_from_each_topic_to_every_mart_and_the_dashboard(bag: DagBag, stream: str) -> None:
    contract = CONTRACTS[stream]
    flow = reachable(data_edges(bag), f"topic.{stream}")
    assert {f"lake.{stream}", f"raw.{contract.table}", "staging", "dashboard"} <= flow
    assert {name for name in flow if name.startswith("marts.")} == {
        "marts.agg_airport_hourly",
        "marts.agg_carrier_daily",
        "marts.dim_aircraft",
        "marts.dim_airport",
        "marts.dim_carrier",
        "marts.fct_flights",
    }
    assert not {name for name in flow if name.startswith("raw.")} - {f"raw.{contract.table}"}


def test_a_new_model_is_a_mart_in_the_asset_graph_and_one_that_has_an_odd_name_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("staging/stg_a.sql", "intermediate/deep/int_a.sql", "marts/my_mart.sql", "marts/é.sql", "top.py"):
        path = tmp_path / "models" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{{ this is not SQL")
    monkeypatch.setenv("SLUICE_DBT", str(tmp_path))
    bag = parse(ROOT / "dags")
    assert_complete(bag, LOADS | OTHERS)
    outlets = bag.dags["transform"].get_task("publish").outlets
    assert [asset.name for asset in outlets] == ["marts.my_mart", "marts.top", "dashboard"]


def test_a_transform_is_a_chain_of_steps_that_publishes_after_a_failure_and_not_after_a_skip(bag: DagBag) -> None:
    dag = bag.dags["transform"]
    chain = [task.task_id for task in dag.topological_sort()]
    assert chain == ["plan", "build", "test", "publish", "document"]
    for task_id, following in pairwise(chain):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    rules = [dag.get_task(task_id).trigger_rule for task_id in chain]
    assert rules == ["all_success", "all_success", "all_success", "none_skipped", "all_success"]


def test_any_raw_table_triggers_the_transform_and_only_one_runs(bag: DagBag) -> None:
    dag = bag.dags["transform"]
    # Any table suffices: waiting for all would let an idle stream delay the others.
    assert isinstance(dag.schedule, AssetAny)
    assert {asset.name for asset in dag.schedule.objects if isinstance(asset, Asset)} == {
        f"raw.{contract.table}" for contract in CONTRACTS.values()
    }
    assert dag.max_active_runs == 1


def test_reprocess_has_an_interval_per_event_date_and_never_runs_by_itself(bag: DagBag) -> None:
    dag = bag.dags["reprocess"]
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert serialized.next_dagrun_info(last_automated_run_info=None) is None
    first, last = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
    intervals = [info.data_interval for info in serialized.iter_dagrun_infos_between(first, last)]
    assert len(intervals) == 366
    assert [interval.start for interval in (intervals[0], intervals[-1])] == [first, last]
    assert all(interval.end - interval.start == timedelta(days=1) for interval in intervals)


def test_reprocess_reloads_the_start_of_its_interval_for_the_selected_streams(bag: DagBag) -> None:
    dag = bag.dags["reprocess"]
    task = dag.get_task("reload").prepare_for_execution()
    context = {
        "data_interval_start": datetime(2013, 5, 6, tzinfo=UTC),
        "params": {"streams": ["weather.observed"], "event_date": None},
    }
    task.render_template_fields(context, dag.get_template_env())
    assert task.event_date == "2013-05-06"
    assert task.streams == ["weather.observed"]


def test_reprocess_reloads_a_date_without_an_interval(bag: DagBag) -> None:
    # A run that is triggered without a logical date has none.
    dag = bag.dags["reprocess"]
    task = dag.get_task("reload").prepare_for_execution()
    context = {"params": {"streams": ["weather.observed"], "event_date": "2013-05-07"}}
    task.render_template_fields(context, dag.get_template_env())
    assert task.event_date == "2013-05-07"


def test_every_dag_can_be_triggered_without_parameters_or_dates(dag: DAG) -> None:
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    serialized.params.validate()
    context = {"params": dag.params.dump(), "run_id": "manual__1"}
    for original in dag.tasks:
        task = original.prepare_for_execution()
        task.resolve_template_files()
        task.render_template_fields(context, dag.get_template_env())
        if dag.dag_id == "reprocess":
            assert task.event_date == ""


def test_the_marts_check_uses_the_reader_role(bag: DagBag) -> None:
    dag = bag.dags["reconcile"]
    task = dag.get_task("marts_keep_up")
    assert task.conn_id == "warehouse_reader"
    task.resolve_template_files()
    task.render_template_fields({"params": {"stale_minutes": 7}}, dag.get_template_env())
    assert "interval '7 minutes'" in task.sql


def test_no_file_shadows_the_dbt_package() -> None:
    assert not list((ROOT / "dags").glob("dbt*"))


@pytest.mark.parametrize("file", sorted((ROOT / "dags").glob("*.py")), ids=lambda file: file.name)
def test_dag_files_stay_thin(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 60
