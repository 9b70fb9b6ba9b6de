"""The second warehouse on a real cluster: the same rows as Postgres, whatever is killed."""

import re
import signal
import subprocess
from collections import Counter
from datetime import date

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from infra.processes import processes
from sluice.contracts import load_contracts
from sluice.lake.reader import LakeReader
from sluice.lakehouse.layout import LEDGER, OWNER, QUARANTINE, open_table, raw_table
from sluice.orchestration.batch import airflow_client
from sluice.orchestration.follow import follow, trigger_run, wait_for_dags
from sluice.orchestration.history import LAKEHOUSE
from sluice.settings import ROOT, Settings
from sluice.settings.spark import SPARK_JAVA_HOME, SPARK_PYTHON
from sluice.warehouse import connect
from tests.fixtures.platform import Running
from tests.fixtures.waiting import wait

# Spark's processes take minutes to start on a busy machine.
pytestmark = pytest.mark.timeout(3000)

MARTS = 6
PLACE = ["topic_id", "partition", "offset"]


@pytest.fixture(scope="module")
def spark(platform: Running) -> Running:
    platform.sluice("up", "--no-live", "--engine", "spark", timeout=1200)
    platform.sluice("lakehouse")
    return platform


def test_both_engines_have_the_same_rows_of_january(spark: Running) -> None:
    assert _compare(spark, "2013-01-01", "2013-01-31") == ["equal"] * MARTS
    _assert_every_offset_once(spark.settings)


def test_a_difference_is_named(spark: Running) -> None:
    change = (
        "update marts.agg_carrier_daily set arrived = arrived {} 1 where (flight_date, carrier) = ('2013-01-16', 'UA')"
    )
    with connect(spark.settings, "transformer") as transformer:
        transformer.execute(change.format("+").encode())
    try:
        compared = spark.sluice("compare-engines", "--from", "2013-01-14", "--to", "2013-01-20", check=False)
    finally:
        with connect(spark.settings, "transformer") as transformer:
            transformer.execute(change.format("-").encode())
    assert compared.returncode == 1
    assert re.search(r"^agg_carrier_daily, 2013-01-16: \d+ rows in both, with different values$", compared.stdout, re.M)
    assert compared.stdout.count("rows in both") == 1
    assert "the engines differ in 1 marts and dates" in compared.stderr


def test_lost_repeated_and_foreign_rows_are_named(spark: Running) -> None:
    table = _raw(spark.settings, "weather_observed")
    version = table.version()
    partition = table.to_pyarrow_table(filters=[("_partition", "=", 0)])
    offsets = sorted(partition["_offset"].to_pylist())
    table.delete(f"_partition = 0 and _offset in ({offsets[3]}, {offsets[5]})")
    again = partition.filter(pc.equal(partition["_offset"], offsets[8]))
    foreign = again.set_column(again.column_names.index("_offset"), "_offset", pa.array([10**12], pa.int64()))
    write_deltalake(table, pa.concat_tables([again, foreign]), mode="append")
    try:
        compared = spark.sluice("reconcile", "--engine", "spark", check=False)
    finally:
        _raw(spark.settings, "weather_observed").restore(version)
    assert compared.returncode == 1
    assert compared.stdout.splitlines()[-4:] == [
        f"weather.observed/0: 2 offsets of the lake are not in Spark's warehouse, the first is {offsets[3]}",
        f"weather.observed/0: 1 offsets are in Spark's warehouse more than once, the first is {offsets[8]}",
        "weather.observed/0: 1 offsets are in Spark's warehouse and not in the lake, the first is 1000000000000",
        "3 disagreements",
    ]
    assert spark.sluice("reconcile", "--engine", "spark").stdout.splitlines()[-1] == "everything agrees"


def test_unit_tests_hold_on_spark_too(spark: Running) -> None:
    done = subprocess.run(
        [SPARK_PYTHON, "-m", "sluice.lakehouse", "dbt", "test", "--selector", "unit"],
        env=spark.environment | {"JAVA_HOME": str(SPARK_JAVA_HOME)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"PASS=[1-9]\d* WARN=0 ERROR=0 SKIP=0", done.stdout), done.stdout[-4000:]


def test_a_disturbed_fortnight_is_equal_although_workers_are_killed_in_the_load_and_in_the_models(
    spark: Running,
) -> None:
    faults = {"late": 0.05, "duplicates": 0.03, "corrupt": 0.01, "invalid": 0.01, "seed": 7}
    options = [part for name, value in faults.items() for part in (f"--{name}", str(value))]
    spark.sluice("replay", "--from", "2013-02-01", "--to", "2013-02-14", *options)
    spark.sluice("load")
    spark.sluice("transform")
    before = _planned(spark.settings)
    with _lakehouse(spark) as run:
        wait("a plan", lambda: _planned(spark.settings) > before, alive=run)
        _kill_worker(spark, "spark-worker-1")
        log = spark.settings.home / "killed.log"
        wait("a model", lambda: " OK created sql" in log.read_text(), alive=run, seconds=900)
        _kill_worker(spark, "spark-worker-2")
        assert run.wait(timeout=1200) == 0, log.read_text()[-4000:]
    assert _compare(spark, "2013-02-01", "2013-02-15") == ["equal"] * MARTS
    _assert_every_offset_once(spark.settings)


def test_a_killed_load_is_repeated_without_loss(spark: Running) -> None:
    spark.sluice("replay", "--from", "2013-02-15", "--to", "2013-02-16", "--invalid", "0.05", "--seed", "8")
    spark.sluice("load")
    spark.sluice("transform")
    before = _planned(spark.settings)
    with _lakehouse(spark) as run:
        wait("a plan", lambda: _planned(spark.settings) > before, alive=run)
        for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
            process.send_signal(signal.SIGKILL)
    spark.sluice("lakehouse", timeout=1800)
    assert _compare(spark, "2013-02-15", "2013-02-17") == ["equal"] * MARTS
    _assert_every_offset_once(spark.settings)


def test_the_dag_reloads_a_date_builds_and_compares(spark: Running) -> None:
    """Rows that Spark's warehouse has lost are there again after a run for their date."""
    day = date(2013, 1, 20)
    _raw(spark.settings, "weather_observed").delete("_event_date = '2013-01-20' and _partition = 0")
    with airflow_client(spark.settings) as airflow:
        wait_for_dags(airflow, [LAKEHOUSE])
        follow(airflow, [trigger_run(airflow, LAKEHOUSE, {"event_date": day.isoformat()})], print)
    assert _compare(spark, "2013-01-18", "2013-01-22") == ["equal"] * MARTS
    _assert_every_offset_once(spark.settings)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["polars", "duckdb", "spark"])
def test_the_examples_of_the_page_read_the_tables(spark: Running, number: int) -> None:
    page = (ROOT / "docs" / "how-to" / "use-spark.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.S)
    secrets = {f"SLUICE_{name.upper()}": spark.settings.secret(name) for name in ("lakehouse_password", "spark_secret")}
    variables = {"STORE": spark.settings.lake_endpoint, "JAVA_HOME": str(SPARK_JAVA_HOME)}
    done = subprocess.run(
        [SPARK_PYTHON, "-c", examples[number]],
        env=spark.environment | secrets | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    carrier, count = "│ UA", LakeReader(spark.settings, "flights.departed").rows_per_date()
    expected = [carrier, f"({sum(filter(None, count.values()))}, {sum(filter(None, count.values()))})", "event_date="]
    assert expected[number] in done.stdout


def _lakehouse(spark: Running) -> "subprocess.Popen[bytes]":
    log = (spark.settings.home / "killed.log").open("wb")
    return subprocess.Popen(
        [*spark.program, "lakehouse"], env=spark.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )


def _kill_worker(spark: Running, name: str) -> None:
    """Kills a worker and its executor, as the end of their machine would; the supervisor starts another."""
    running = [process for process, service in processes.owned(spark.settings.home) if service == name]
    assert running
    for process in running:
        process.send_signal(signal.SIGKILL)


def _raw(settings: Settings, table: str) -> DeltaTable:
    found = open_table(settings, raw_table(table))
    assert found
    return found


def _planned(settings: Settings) -> int:
    ledger = open_table(settings, LEDGER)
    return ledger.version() if ledger else -1


def _compare(spark: Running, first: str, last: str) -> list[str]:
    """Returns the verdict on each mart."""
    output = spark.sluice("compare-engines", "--from", first, "--to", last).stdout
    return [line.split()[-1] for line in output.splitlines()]


def _assert_every_offset_once(settings: Settings) -> None:
    """Compares the records of raw and quarantine with those of the lake, one by one."""
    quarantine = open_table(settings, QUARANTINE)
    for stream, contract in load_contracts(settings.contracts).items():
        rows = (
            _raw(settings, contract.table)
            .to_pyarrow_table(columns=[f"_{name}" for name in PLACE])
            .rename_columns(PLACE)
        )
        found = [rows, quarantine.to_pyarrow_table([("stream", "=", stream)], PLACE)] if quarantine else [rows]
        lake = LakeReader(settings, stream, OWNER).table.to_pyarrow_table(columns=PLACE)
        counts = Counter(place for table in found for place in _places(table))
        assert counts == Counter(_places(lake))
        assert set(counts.values()) == {1}


def _places(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(table[name].to_pylist() for name in PLACE), strict=True))
