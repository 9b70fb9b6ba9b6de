"""Lineage costs nothing without a server's URL and fails no task; a task reports only what it has read and written."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.utils.state import TaskInstanceState

from infra.servers.airflow import environment
from sluice.orchestration import operators, transforms
from sluice.orchestration.operators import LoadOperator, ReloadOperator
from sluice.orchestration.transforms import BuildOperator, PublishOperator
from sluice.settings import ROOT, Settings
from tests.fixtures.openlineage import provider, send_completion, server
from tests.fixtures.receivers import webhook

PLUGIN = """
import sys
from airflow.providers.openlineage.plugins.openlineage import OpenLineageProviderPlugin
print(len(OpenLineageProviderPlugin.listeners), "openlineage.client" in sys.modules)
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(_env_file=None, contracts=ROOT / "contracts", airflow_db_password="secret")  # type: ignore[call-arg]
    for module in (operators, transforms):
        monkeypatch.setattr(module, "settings_as", lambda role: settings)
    return settings


@pytest.fixture
def load() -> LoadOperator:
    with DAG("load_flights_departed"):
        return LoadOperator(task_id="load", stream="flights.departed")


@pytest.mark.parametrize(("url", "loaded"), [("", "0 False\n"), ("http://127.0.0.1:1", "1 True\n")])
def test_without_a_url_the_provider_loads_and_sends_nothing(settings: Settings, url: str, loaded: str) -> None:
    configured = environment(settings.model_copy(update={"openlineage_url": url}))
    variables = {**configured, **{name: os.environ[name] for name in ("PATH", "AIRFLOW_HOME")}}
    done = subprocess.run([sys.executable, "-c", PLUGIN], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == loaded


@pytest.mark.parametrize("listens", [False, True], ids=["down", "silent"])
def test_a_server_that_does_not_respond_is_given_up_at_once(
    settings: Settings, load: LoadOperator, listens: bool
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        with provider(settings, f"http://127.0.0.1:{server.getsockname()[1]}"):
            started = time.monotonic()
            send_completion(load)
    # Two seconds, and what a busy machine adds.
    assert time.monotonic() - started < 15


def test_a_server_that_fails_is_not_tried_again(settings: Settings, load: LoadOperator) -> None:
    with webhook(status=503) as received, provider(settings, f"http://127.0.0.1:{received.port}"):
        send_completion(load)
    assert len(received.bodies) == 1


def test_a_url_with_a_path_keeps_it(settings: Settings, load: LoadOperator) -> None:
    with webhook() as received, provider(settings, f"http://127.0.0.1:{received.port}/lineage"):
        send_completion(load)
    assert received.paths == ["/lineage/api/v1/lineage"]


def test_no_event_has_the_command_of_another_dags_task(settings: Settings) -> None:
    with server(settings) as received, DAG("another"):
        send_completion(BashOperator(task_id="shell", bash_command="login --password=s3cr3t"))
    assert "s3cr3t" not in json.dumps(received.bodies)


@pytest.mark.parametrize(
    ("task", "edges"),
    [
        (lambda: ReloadOperator(task_id="reload", event_date="", streams=["flights.departed", "weather.observed"]), 2),
        # It marks dates as stale and reads nothing.
        (lambda: ReloadOperator(task_id="reload", event_date="", streams=["flights.departed"], what="marts"), 0),
        # Neither has run, or it was skipped: what dbt left belongs to another run.
        (lambda: BuildOperator(task_id="build"), 0),
        (lambda: PublishOperator(task_id="publish"), 0),
    ],
)
@pytest.mark.parametrize("state", [TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED])
def test_a_task_reports_what_it_has_read_and_written(
    settings: Settings, task: Callable[[], Any], edges: int, state: TaskInstanceState
) -> None:
    with server(settings) as received, DAG("reprocess"):
        send_completion(task(), state)
    (event,) = received.bodies
    assert len(event["inputs"]) == len(event["outputs"]) == edges
