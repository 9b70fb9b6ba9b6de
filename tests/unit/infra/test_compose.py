"""`docker-compose.yaml` matches the configuration without containers and grants each container only what it needs."""

import inspect
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from infra.config.settings_file import SECRETS
from infra.install import installs
from infra.launch.container_steps import STEPS
from infra.servers import kafka, minio, postgres, prometheus, redis, spark
from infra.servers.service import environment
from infra.servers.services import SERVICES, find_service
from sluice.settings import ROOT, Settings, variable
from sluice.settings.spark import SPARK_JARS

FILE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
RESET = "reset"


class OverrideLoader(yaml.SafeLoader):
    """Loads Compose's YAML with its tags for overriding another file."""


OverrideLoader.add_constructor("!reset", lambda *_: RESET)
OverrideLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
SCALED = yaml.load((ROOT / "infra" / "compose" / "scale.yaml").read_text(), OverrideLoader)["services"]  # noqa: S506
OPERATORS = {"init", "cli"}
"""They provision users and databases, or run any command: they receive the whole settings file."""
ONE_SHOT = {"init", "fill", "marts", "cli"}
SPARK = {service.name for service in spark.SPARK}
OWN = {name for name in SERVICES if CONTAINERS[name]["image"] == "sluice-platform"}


class RecordingSettings(Settings):
    """Settings that record which secrets are read."""

    def secret(self, name: str) -> str:
        SECRETS_READ.add(name)
        return super().secret(name)


SECRETS_READ: set[str] = set()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    SECRETS_READ.clear()
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    # With servers that ask for a password.
    external = {"kafka_security_protocol": "SASL_SSL", "schema_registry_user": "platform"}
    return RecordingSettings(_env_file=None, home=tmp_path, **external, **secrets)  # type: ignore[call-arg, arg-type]


def container_secrets(name: str) -> set[str]:
    """Returns the secrets that a container receives, regardless of the variable's name there."""
    text = yaml.safe_dump(CONTAINERS[name].get("environment", {}))
    return {secret for secret in SECRETS if re.search(rf"\b{variable(secret)}\b", text)}


def test_every_service_has_a_container_and_every_other_container_is_a_step() -> None:
    assert CONTAINERS.keys() == SERVICES.keys() | ONE_SHOT
    assert ONE_SHOT - {"cli"} <= STEPS.keys()
    for name in OWN:
        assert CONTAINERS[name]["command"] == [name]


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_container_receives_exactly_the_secrets_that_its_service_reads(name: str, settings: Settings) -> None:
    environment(SERVICES[name], settings)
    assert container_secrets(name) == SECRETS_READ


def test_other_containers_receive_exactly_these_secrets() -> None:
    assert {name: container_secrets(name) for name in CONTAINERS.keys() - OWN - OPERATORS} == {
        "kafka": set(),
        "postgres": {"postgres_password"},
        "minio": {"minio_root_password"},
        "fill": {"lake_reader_password", "kafka_password"},
        "marts": {"airflow_admin_password"},
        "prometheus": set(),
        "spark-master": {"spark_secret"},
        "spark-worker-1": {"spark_secret"},
        "spark-worker-2": {"spark_secret"},
    }
    assert {name for name, container in CONTAINERS.items() if "env_file" in container} == OPERATORS


def test_the_dashboard_can_read_but_not_write_the_models_documentation() -> None:
    (volume,) = (volume for volume in CONTAINERS["airflow-scheduler"]["volumes"] if volume.startswith("dbt:"))
    assert f"{volume}:ro" in CONTAINERS["dashboard"]["volumes"]
    assert volume == f"dbt:{Settings(home=Path('/var/lib/sluice')).dbt_docs.parent}"


@pytest.mark.parametrize("name", sorted(OWN - {"sink", "live", "producer", "airflow-cleaner"}))
def test_links_for_a_browser_lead_to_published_ports(name: str) -> None:
    variables = CONTAINERS[name]["environment"]
    for service, url, port in (
        ("airflow-api-server", "AIRFLOW_URL", "AIRFLOW_PORT"),
        ("dashboard", "DASHBOARD_URL", "DASHBOARD_PORT"),
        ("minio", "MINIO_CONSOLE_URL", "MINIO_CONSOLE_PORT"),
    ):
        address = variables[f"SLUICE_{url}"].removeprefix("http://")
        assert f"SLUICE_{port}:-" in address
        assert any(published.startswith(f"{address}:") for published in CONTAINERS[service]["ports"])


def test_the_file_contains_no_secret() -> None:
    for name, container in CONTAINERS.items():
        for key, value in container.get("environment", {}).items():
            if key.endswith(("_PASSWORD", "_KEY", "_SECRET")):
                assert value is None or re.fullmatch(r"\$\{SLUICE_\w+:\?[^}]*\}", value), (name, key)


def test_minio_is_configured_as_without_containers(settings: Settings) -> None:
    variables = CONTAINERS["minio"]["environment"]
    expected = minio.environment(settings)
    assert variables | {"MINIO_ROOT_PASSWORD": ""} == expected | {"MINIO_ROOT_PASSWORD": ""}


def test_minio_is_built_from_the_same_module_with_the_same_options() -> None:
    build = CONTAINERS["minio"]["build"]
    assert ROOT / build["context"] == minio.SOURCE
    file = minio.SOURCE / build["dockerfile"]
    words = shlex.split(file.read_text().replace("\\\n", " "), comments=True)
    assert set(words) >= {*minio.BUILD_FLAGS, minio.MODULE}
    assert set(words) >= {f"{name}={value}" for name, value in minio.BUILD_ENVIRONMENT.items()}


def test_the_version_of_minio_is_the_one_that_is_locked() -> None:
    assert f"\t{minio.MODULE} {minio.VERSION} // indirect\n" in (minio.SOURCE / "go.mod").read_text()
    assert f"\n{minio.MODULE} {minio.VERSION} h1:" in (minio.SOURCE / "go.sum").read_text()


def test_postgres_is_configured_as_without_containers() -> None:
    words = shlex.split(CONTAINERS["postgres"]["command"])
    options = dict(word.split("=", 1) for previous, word in itertools.pairwise(words) if previous == "-c")
    # The image needs its socket for its initial setup.
    assert options == {name: value for name, value in postgres.OPTIONS.items() if name != "unix_socket_directories"}


def test_kafka_is_configured_as_without_containers(settings: Settings) -> None:
    variables = CONTAINERS["kafka"]["environment"]
    lines = [line.split("=", 1) for line in kafka.PROPERTIES.splitlines() if line and not line.startswith("#")]
    # Its addresses and data folder differ.
    expected = {name: value for name, value in lines if "{" not in value and not name.startswith("listener.security")}
    assert len(expected) > 10
    for name, value in expected.items():
        assert str(variables[f"KAFKA_{name.replace('.', '_').upper()}"]) == value, name
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"


def test_prometheus_is_configured_as_without_containers() -> None:
    configuration = yaml.safe_load((ROOT / "infra" / "prometheus" / "containers.yaml").read_text())
    variables = FILE["x-addresses"]
    names = {name: variables[f"SLUICE_{name.upper()}_HOST"] for name in ("sink", "live")} | {"dashboard": "dashboard"}
    hosts = {f"{name}_host": host for name, host in names.items()}
    expected = prometheus.configuration(Settings(_env_file=None, **hosts))  # type: ignore[call-arg, arg-type]
    # There may be several sinks.
    (names,) = (job.pop("dns_sd_configs") for job in configuration["scrape_configs"] if job["job_name"] == "sink")
    configuration["scrape_configs"][0]["static_configs"] = [
        {"targets": [f"{found['names'][0]}:{found['port']}" for found in names]}
    ]
    assert configuration | {"rule_files": []} == expected | {"rule_files": []}
    assert f"--storage.tsdb.retention.time={prometheus.RETENTION}" in CONTAINERS["prometheus"]["command"]


def test_spark_is_configured_as_without_containers(settings: Settings) -> None:
    addresses = {"spark_host": "spark-master", "home": Path("/var/lib/sluice")}
    in_containers = settings.model_copy(update=addresses)
    for name in SPARK:
        container, service = CONTAINERS[name], SERVICES[name]
        expected = environment(service, in_containers)
        for key in ("SPARK_DAEMON_MEMORY", "SPARK_DAEMON_JAVA_OPTS"):
            assert container["environment"][key] == expected[key]
        # Each container has its own address and port; what is left is what the server is and offers.
        defaults = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in container["command"]]
        ours = dict(itertools.pairwise(service.command(in_containers)[1:]))
        theirs = dict(itertools.pairwise(defaults))
        assert defaults[0] == service.command(in_containers)[1]
        assert defaults[-1] == service.command(in_containers)[-1] or name == "spark-master"
        assert {key for key in theirs if key.startswith("--")} == {key for key in ours if key.startswith("--")}
        for key in {"--cores", "--memory"} & theirs.keys():
            assert theirs[key] == ours[key]
        assert theirs["--host"] == name


def test_sparks_image_has_the_packages_and_jars_of_a_launch_without_containers() -> None:
    lines = (ROOT / "infra" / "images" / "spark" / "Dockerfile").read_text()
    assert "infra/bootstrap spark" in lines
    assert installs.COPY_GOAL in lines
    assert set(re.findall(r"spark-jars-\w+", lines)) == {SPARK_JARS.name}


def test_what_is_started_on_request_has_a_profile_that_every_command_selects() -> None:
    profiles = {name: container["profiles"] for name, container in CONTAINERS.items() if "profiles" in container}
    assert profiles == {"prometheus": ["observe"], "cli": ["cli"], **{name: ["spark"] for name in SPARK}}
    assert "optional=(--profile observe --profile spark)\n" in (ROOT / "infra" / "docker.sh").read_text()


@pytest.mark.parametrize("name", sorted(ONE_SHOT - {"cli"}))
def test_a_step_gets_the_arguments_that_it_takes(name: str) -> None:
    step, *arguments = CONTAINERS[name]["command"]
    assert len(arguments) == len(inspect.signature(STEPS[step]).parameters)


def test_redis_is_configured_as_without_containers() -> None:
    lines = SCALED["redis"]["command"][-1].splitlines()
    # Process titles matter only where processes are identified by their environment.
    expected = {name: value for name, value in redis.OPTIONS.items() if name != "set-proc-title"}
    assert dict(line.split() for line in lines if line.split()[0] in redis.OPTIONS) == expected


@pytest.mark.parametrize("name", sorted(OWN | ONE_SHOT))
def test_scaled_out_every_component_can_connect_to_any_broker(name: str) -> None:
    assert SCALED[name]["environment"]["SLUICE_KAFKA_HOST"] == "brokers"


@pytest.mark.parametrize("name", ["airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-worker"])
def test_scaled_out_a_container_receives_exactly_the_secrets_that_its_service_reads(
    name: str, settings: Settings
) -> None:
    with_workers = settings.model_copy(update={"airflow_executor": "CeleryExecutor"})
    service = find_service(name, with_workers)
    assert service
    environment(service, with_workers)
    override = SCALED[name]["environment"]
    base = CONTAINERS[SCALED[name].get("extends", {}).get("service", name)]["environment"]
    variables = {key for key, value in (base | override).items() if value is not RESET}
    assert {secret for secret in SECRETS if variable(secret) in variables} == SECRETS_READ


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_minimal_privileges_and_a_memory_limit(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["mem_limit"]
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not container.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid"}
    assert all(port.startswith("127.0.0.1:${SLUICE_") for port in container.get("ports", []))
    if name in ONE_SHOT:
        assert container["restart"] == "no"
    else:
        assert container["restart"] == "unless-stopped"
        # These two have no endpoint; that they run is all that can be checked.
        assert name in ("producer", "airflow-cleaner") or container["healthcheck"]["test"]
    assert ":latest" not in container["image"]
    for mount in container.get("volumes", []):
        assert not mount.startswith(".") or mount.endswith(":ro")


def test_the_last_step_of_a_launch_waits_for_every_service_but_the_producer() -> None:
    needed, pending = set(), ["marts"]
    while pending:
        name = pending.pop()
        needed.add(name)
        pending += CONTAINERS[name].get("depends_on", {}).keys() - needed
    assert SERVICES.keys() - needed == {"producer", "prometheus", *SPARK}


def test_a_container_waits_until_the_containers_it_needs_are_healthy_or_completed() -> None:
    for container in CONTAINERS.values():
        for needed, dependency in container.get("depends_on", {}).items():
            ready = "service_healthy" if "healthcheck" in CONTAINERS[needed] else "service_started"
            expected = "service_completed_successfully" if needed in ONE_SHOT else ready
            assert dependency["condition"] == expected
