"""Three brokers, two sinks and two workers: the same truth, also when one of each dies meanwhile."""

import subprocess
from collections.abc import Iterator

import pytest

from sluice.kafka.topics import admin
from sluice.settings import ROOT, Settings
from tests.compose.conftest import Containers, docker, launched
from tests.compose.test_platform import in_kafka, kill
from tests.e2e import test_platform as native
from tests.e2e import truth
from tests.waiting import wait

test_january_is_in_the_marts_row_by_row = native.test_january_is_in_the_marts_row_by_row
test_kafka_lake_and_warehouse_agree = native.test_kafka_lake_and_warehouse_agree
test_a_disturbed_replay_ends_in_the_truth = native.test_a_disturbed_replay_ends_in_the_truth
test_a_date_backfilled_is_as_it_was = native.test_a_date_backfilled_is_as_it_was


@pytest.fixture(scope="module")
def platform() -> Iterator[Containers]:
    """The platform as `make up PROFILE=scale` makes it."""
    with launched(PROFILE="scale") as running:
        yield running


@pytest.fixture
def settings(platform: Containers) -> Settings:
    return platform.settings


def test_every_record_is_on_three_brokers_and_acknowledged_by_two(settings: Settings) -> None:
    with admin(settings) as client:
        for topic in client.describe_topics(["flights.departed", "weather.observed"]):
            assert {len(partition["replica_nodes"]) for partition in topic["partitions"]} == {3}
    found = docker("ps", "--quiet", "--filter", "label=com.docker.compose.service=kafka").split()[0]
    command = ["/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "kafka:9092", "--entity-type", "topics"]
    said = docker("exec", found, *command, "--entity-name", "flights.departed", "--describe", "--all")
    assert "min.insync.replicas=2" in said


def test_tasks_run_in_the_workers_and_not_in_the_scheduler(platform: Containers) -> None:
    platform.sluice("load")
    containers = platform.all()
    assert "airflow-worker" in containers
    workers = docker(
        "ps", "--quiet", "--filter", f"label=com.docker.compose.project={platform.project}",
        "--filter", "label=com.docker.compose.service=airflow-worker",
    ).split()  # fmt: skip
    assert len(workers) == 2
    assert sum("succeeded in" in docker_logs(worker) for worker in workers) >= 1


def test_the_scheduler_knows_no_secret_of_the_warehouse_and_a_worker_none_that_signs(platform: Containers) -> None:
    containers = platform.all()
    scheduler, worker = (" ".join(containers[f"airflow-{each}"]["Config"]["Env"]) for each in ("scheduler", "worker"))
    for name in ("loader_password", "transformer_password", "reader_password", "lake_reader_password"):
        assert platform.settings.secret(name) not in scheduler
        assert platform.settings.secret(name) in worker
    for name in ("airflow_jwt_secret", "airflow_api_secret_key", "airflow_fernet_key"):
        assert platform.settings.secret(name) not in worker


@pytest.mark.parametrize(("victim", "first", "last"), [
    ("kafka-2", "2013-02-04", "2013-02-04"),
    ("sink", "2013-02-05", "2013-02-05"),
    ("airflow-worker", "2013-02-06", "2013-02-06"),
])  # fmt: skip
def test_one_of_several_dies_and_nothing_is_lost(platform: Containers, victim: str, first: str, last: str) -> None:
    replay = subprocess.Popen(
        [*platform.program, "replay", f"--from={first}", f"--to={last}", "--speed=3000"],
        env=platform.environment,
        cwd=ROOT,
    )
    before = in_kafka(platform)
    wait("events in Kafka", lambda: in_kafka(platform) > before)
    kill(platform, victim)
    assert replay.wait(timeout=600) == 0
    platform.sluice("load")
    platform.sluice("transform")
    truth.marts_are_true(platform.query, first, last)
    platform.sluice("reconcile")
    wait("all healthy", lambda: platform.healthy("cli"))


def docker_logs(container: str) -> str:
    """What a container has said, on both of its outputs."""
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
