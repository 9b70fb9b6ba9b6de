"""`make up ENGINE=spark`: a real cluster and its bucket beside the other services; `make up` stops the cluster."""

from infra.processes import processes
from infra.servers.spark import SPARK
from sluice.lake import bucket
from tests.fixtures.platform import Running

NAMES = [service.name for service in SPARK]


def test_spark_runs_until_a_launch_without_it(platform: Running) -> None:
    assert {state for state, _ in _states(platform)} == {"off"}
    assert {detail for _, detail in _states(platform)} == {"`make up ENGINE=spark` starts it"}
    assert not _processes(platform)
    store = bucket.client(platform.settings, "root")
    assert not store.bucket_exists(platform.settings.warehouse_bucket)

    up = platform.sluice("up", "--no-live", "--engine", "spark")
    assert f"http://127.0.0.1:{platform.settings.spark_ui_port}" in up.stdout
    assert _states(platform) == [("healthy", "")] * len(NAMES)
    assert _processes(platform) == set(NAMES)
    assert platform.sluice("status").returncode == 0
    assert "Registering worker" in platform.sluice("logs", "spark-master", "--lines", "200").stdout
    spark = bucket.client(platform.settings, "lakehouse")
    assert list(spark.list_objects(platform.settings.warehouse_bucket)) == []

    platform.sluice("up", "--no-live")
    assert {state for state, _ in _states(platform)} == {"off"}
    assert not _processes(platform)


def _states(platform: Running) -> list[tuple[str, str]]:
    return [(status.state, status.detail) for status in platform.services().status() if status.name in NAMES]


def _processes(platform: Running) -> set[str]:
    return {name for _, name in processes.owned(platform.settings.home) if name in NAMES}
