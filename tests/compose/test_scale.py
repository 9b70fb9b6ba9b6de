"""With three brokers, two sinks and two workers the marts are correct, even when one of them is killed."""

import subprocess
from collections.abc import Iterator

import pytest

from sluice.kafka.topics import admin
from sluice.settings import ROOT, Settings
from tests.acceptance import test_platform as acceptance
from tests.compose.conftest import Containers, docker, launched
from tests.compose.test_platform import in_kafka, kill
from tests.fixtures import truth
from tests.fixtures.waiting import wait

test_the_marts_show_january_row_by_row = acceptance.test_the_marts_show_january_row_by_row
test_the_marts_are_correct_after_a_replay_with_faults = acceptance.test_the_marts_are_correct_after_a_replay_with_faults
test_a_backfill_of_correct_dates_changes_nothing = acceptance.test_a_backfill_of_correct_dates_changes_nothing


@pytest.fixture(scope="module")
def platform() -> Iterator[Containers]:
    """The platform as launched by `make up PROFILE=scale`."""
    with launched(PROFILE="scale") as running:
        yield running


@pytest.fixture
def settings(platform: Containers) -> Settings:
    return platform.settings


def test_every_record_is_replicated_to_three_brokers_and_acknowledged_by_two(settings: Settings) -> None:
    with admin(settings) as client:
        for topic in client.describe_topics(["flights.departed", "weather.observed"]):
            assert {len(partition["replica_nodes"]) for partition in topic["partitions"]} == {3}
    broker = docker("ps", "--quiet", "--filter", "label=com.docker.compose.service=kafka").split()[0]
    command = ["/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", "kafka:9092", "--entity-type", "topics"]
    described = docker("exec", broker, *command, "--entity-name", "flights.departed", "--describe", "--all")
    assert "min.insync.replicas=2" in described


def test_tasks_run_on_the_workers_and_not_in_the_scheduler(platform: Containers) -> None:
    platform.sluice("load")
    containers = platform.containers()
    assert "airflow-worker" in containers
    workers = docker(
        "ps", "--quiet", "--filter", f"label=com.docker.compose.project={platform.project}",
        "--filter", "label=com.docker.compose.service=airflow-worker",
    ).split()  # fmt: skip
    assert len(workers) == 2
    assert sum("succeeded in" in docker_logs(worker) for worker in workers) >= 1


def test_the_scheduler_has_no_secret_of_the_warehouse_and_a_worker_no_signing_key(platform: Containers) -> None:
    containers = platform.containers()
    scheduler = " ".join(containers["airflow-scheduler"]["Config"]["Env"])
    worker = " ".join(containers["airflow-worker"]["Config"]["Env"])
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
def test_a_killed_replica_loses_nothing(platform: Containers, victim: str, first: str, last: str) -> None:
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
    truth.assert_marts(platform.query, first, last)
    platform.sluice("reconcile", "--wait")
    wait("all healthy", lambda: platform.healthy("cli"))


def docker_logs(container: str) -> str:
    """Returns a container's log, standard output and error."""
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
