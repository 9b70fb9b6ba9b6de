"""Spark's cluster: its addresses, its secret, its files and its health; and a launch has it only on request."""

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from infra.config.settings_file import SECRETS
from infra.install.installs import install_steps
from infra.launch import launch
from infra.launch.provisioning import Provisioning
from infra.processes.steps import _check
from infra.servers import probes, spark
from infra.servers.service import environment
from infra.servers.services import SERVICES
from infra.supervision.platform import Platform
from sluice.contracts import load_contracts
from sluice.errors import TransientError
from sluice.settings import ROOT, Settings
from sluice.settings.spark import SPARK_JAVA_HOME, SPARK_PYTHON, spark_home

NAMES = [service.name for service in spark.SPARK]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Settings(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


@pytest.fixture
def pages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, Any]]:
    """The pages of the servers, by port; a server without one is down."""
    found: dict[int, dict[str, Any]] = {
        settings.spark_ui_port: {"status": "ALIVE", "workers": [{"id": "one", "state": "ALIVE"}]},
        settings.spark_worker_1_ui_port: {"id": "one"},
        settings.spark_worker_2_ui_port: {"id": "two"},
    }

    def http_json(host: str, port: int, path: str) -> Any:
        assert (host, path) == ("127.0.0.1", "/json/")
        if port not in found:
            raise TransientError(f"no response on {host}:{port}")
        return found[port]

    monkeypatch.setattr(probes, "http_json", http_json)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_connection_asks_for_the_secret_which_only_the_environment_has(name: str, settings: Settings) -> None:
    variables = environment(SERVICES[name], settings)
    assert "-Dspark.authenticate=true" in variables["SPARK_DAEMON_JAVA_OPTS"].split()
    assert [key for key, value in variables.items() if "secret-of-spark_secret" in value] == [spark.SECRET_VARIABLE]


@pytest.mark.parametrize("name", NAMES)
def test_servers_and_pages_are_on_loopback_and_stop_nothing(name: str, settings: Settings) -> None:
    command = SERVICES[name].command(settings)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    variables = environment(SERVICES[name], settings)
    assert variables["SPARK_LOCAL_IP"] == "127.0.0.1"
    options = variables["SPARK_DAEMON_JAVA_OPTS"].split()
    for option in ("master.rest.enabled=false", "master.ui.decommission.allow.mode=DENY", "ui.killEnabled=false"):
        assert f"-Dspark.{option}" in options


def test_a_worker_offers_what_the_settings_say(settings: Settings) -> None:
    changed = settings.model_copy(update={"spark_worker_memory": "2g", "spark_worker_cores": 3, "spark_port": 1234})
    for number, port in ((1, 7081), (2, 7082)):
        command = SERVICES[f"spark-worker-{number}"].command(changed)
        options = dict(zip(command[2:-1:2], command[3:-1:2], strict=True))
        assert options["--memory"] == "2g"
        assert options["--cores"] == "3"
        assert options["--webui-port"] == str(port)
        assert command[-1] == "spark://127.0.0.1:1234"


@pytest.mark.parametrize("memory", ["1", "1 g", "-1g", "0g", "1gb"])
def test_memory_is_written_as_spark_reads_it(memory: str) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, spark_worker_memory=memory)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_below_the_home_folder_and_for_its_owner_alone(name: str, settings: Settings) -> None:
    service = SERVICES[name]
    service.prepare(settings)
    service.prepare(settings)
    folder = Path(environment(service, settings)["SPARK_LOCAL_DIRS"])
    assert folder == settings.home / "spark" / name
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    command = service.command(settings)
    if "--work-dir" in command:
        assert Path(command[command.index("--work-dir") + 1]).parent == folder


@pytest.mark.parametrize("name", NAMES)
def test_servers_run_the_java_that_the_installation_has_chosen(name: str, settings: Settings) -> None:
    assert environment(SERVICES[name], settings)["JAVA_HOME"] == str(SPARK_JAVA_HOME)


def test_a_workers_python_is_sparks_and_imports_the_project(settings: Settings) -> None:
    variables = environment(SERVICES["spark-worker-1"], settings)
    assert variables["PYSPARK_PYTHON"] == str(SPARK_PYTHON)
    assert variables["PATH"].startswith(f"{SPARK_PYTHON.parent}:")
    assert variables["PYTHONPATH"] == str(ROOT)
    assert spark_home().is_relative_to(SPARK_PYTHON.parents[1])


def test_the_master_is_healthy_before_its_workers_and_says_that_they_are_missing(
    settings: Settings, pages: dict[int, dict[str, Any]]
) -> None:
    master = pages[settings.spark_ui_port]
    assert spark.check_master(settings) is None
    assert spark.master_notice(settings) == "1 of 2 workers registered"
    master["workers"].append({"id": "two", "state": "ALIVE"})
    assert spark.master_notice(settings) is None
    master["status"] = "RECOVERING"
    assert spark.check_master(settings) == "the master is RECOVERING"
    del pages[settings.spark_ui_port]
    assert spark.check_master(settings) == "no response on 127.0.0.1:7080"
    assert spark.master_notice(settings) is None


def test_a_worker_is_healthy_while_the_master_knows_it(settings: Settings, pages: dict[int, dict[str, Any]]) -> None:
    one, two = (service.check_health for service in spark.WORKERS)
    missing = "not registered with the master at spark://127.0.0.1:7077"
    assert one(settings) is None
    assert two(settings) == missing
    # After a restart of a worker the master has both, the earlier one as dead.
    pages[settings.spark_ui_port]["workers"][0]["state"] = "DEAD"
    assert one(settings) == missing
    del pages[settings.spark_worker_1_ui_port]
    assert one(settings) == "no response on 127.0.0.1:7081"


def launch_steps(settings: Settings, with_spark: bool) -> dict[str, Any]:
    platform = Platform(settings, settings.home / "settings.env", lambda _: None)
    contracts = load_contracts(settings.contracts)
    off = ["producer", "prometheus", *([] if with_spark else NAMES)]
    steps = launch._steps(platform, Provisioning(settings, contracts, with_spark), contracts, 0, off)
    return {step.name: step for step in steps}


def test_a_launch_has_spark_only_on_request(settings: Settings) -> None:
    steps = launch_steps(settings, with_spark=True)
    _check(steps)
    without = launch_steps(settings, with_spark=False)
    assert steps.keys() - without.keys() == {*NAMES, "install spark", "lakehouse"}
    assert set(steps["spark-master"].needs) == {"supervisor", "install spark"}
    assert set(steps["spark-worker-1"].needs) == {"supervisor", "spark-master"}


def test_a_launch_without_spark_stops_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(Platform, "disable", lambda _, names: stopped.extend(names))
    launch_steps(settings, with_spark=False)["disabled services"].run(threading.Event())
    assert set(NAMES) <= set(stopped)


def test_the_address_is_printed_only_if_spark_runs(settings: Settings) -> None:
    (line,) = (line for line in launch.addresses(settings, Path(".env"), spark=True) if line.startswith("Spark"))
    assert line.split() == ["Spark", "http://127.0.0.1:7080"]
    assert not [line for line in launch.addresses(settings, Path(".env")) if line.startswith("Spark")]


def test_tests_and_benchmarks_can_start_spark_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []
    monkeypatch.setattr("infra.supervision.platform.run_steps", lambda steps, _: run.extend(s.name for s in steps))
    monkeypatch.setattr("infra.supervision.platform.check_ports", lambda *_: None)
    Platform(settings, settings.home / "settings.env", lambda _: None).start(["spark-worker-1"])
    assert {"spark-worker-1", "spark-master", "install spark", "install java", "install maven", "supervisor"} == set(
        run
    )
    assert "install spark" not in {step.name for step in install_steps(settings)}
