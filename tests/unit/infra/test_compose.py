"""`docker-compose.yaml` says what the native way says, and gives no container more than it needs."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from infra.config.settings_file import SECRETS, variable
from infra.launch.container_steps import STEPS
from infra.servers import kafka, minio, postgres, redis
from infra.servers.service import environment
from infra.servers.services import SERVICES, find
from sluice.settings import ROOT, Settings

FILE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
RESET = "taken away"


class SpreadLoader(yaml.SafeLoader):
    """Compose's YAML: what a second file says of the first."""


SpreadLoader.add_constructor("!reset", lambda *_: RESET)
SpreadLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
SPREAD = yaml.load((ROOT / "infra" / "compose" / "scale.yaml").read_text(), SpreadLoader)["services"]  # noqa: S506
OPERATORS = {"init", "cli"}
"""They make the others' users and databases, or do whatever their caller asks: they are given the settings file."""
ONE_SHOT = {"init", "fill", "marts", "cli"}
OWN = {name for name in SERVICES if CONTAINERS[name]["image"] == "sluice-platform"}


class Watched(Settings):
    """Settings that note which secrets are asked for."""

    def secret(self, name: str) -> str:
        ASKED.add(name)
        return super().secret(name)


ASKED: set[str] = set()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ASKED.clear()
    secrets = {name: SecretStr(f"secret-of-{name}") for name in SECRETS}
    return Watched(_env_file=None, home=tmp_path, **secrets)  # type: ignore[call-arg, arg-type]


def given_secrets(name: str) -> set[str]:
    """The secrets that a container is given, however they are called there."""
    text = yaml.safe_dump(CONTAINERS[name].get("environment", {}))
    return {secret for secret in SECRETS if re.search(rf"\b{variable(secret)}\b", text)}


def test_every_service_is_a_container_and_every_other_container_a_step() -> None:
    assert CONTAINERS.keys() == SERVICES.keys() | ONE_SHOT
    assert ONE_SHOT - {"cli"} <= STEPS.keys()
    for name in OWN:
        assert CONTAINERS[name]["command"] == [name]


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_container_is_given_the_secrets_that_its_service_asks_for(name: str, settings: Settings) -> None:
    environment(SERVICES[name], settings)
    assert given_secrets(name) == ASKED


def test_other_containers_are_given_no_more_than_this() -> None:
    assert {name: given_secrets(name) for name in CONTAINERS.keys() - OWN - OPERATORS} == {
        "kafka": set(),
        "postgres": {"postgres_password"},
        "minio": {"minio_root_password"},
        "fill": {"lake_reader_password"},
        "marts": {"airflow_admin_password"},
    }
    assert {name for name, container in CONTAINERS.items() if "env_file" in container} == OPERATORS


def test_the_dashboard_reads_what_transforms_document_and_cannot_write_there() -> None:
    (written,) = (each for each in CONTAINERS["airflow-scheduler"]["volumes"] if each.startswith("dbt:"))
    assert f"{written}:ro" in CONTAINERS["dashboard"]["volumes"]
    assert written == f"dbt:{Settings(home=Path('/var/lib/sluice')).dbt_docs.parent}"


@pytest.mark.parametrize("name", sorted(OWN - {"sink", "live", "producer", "airflow-cleaner"}))
def test_links_for_a_browser_lead_to_published_ports(name: str) -> None:
    given = CONTAINERS[name]["environment"]
    for service, address, port in (
        ("airflow-api-server", "AIRFLOW_URL", "AIRFLOW_PORT"),
        ("dashboard", "DASHBOARD_URL", "DASHBOARD_PORT"),
        ("minio", "MINIO_CONSOLE_URL", "MINIO_CONSOLE_PORT"),
    ):
        found = given[f"SLUICE_{address}"].removeprefix("http://")
        assert f"SLUICE_{port}:-" in found
        assert any(published.startswith(f"{found}:") for published in CONTAINERS[service]["ports"])


def test_no_secret_is_in_the_file() -> None:
    for name, container in CONTAINERS.items():
        for key, value in container.get("environment", {}).items():
            if key.endswith(("_PASSWORD", "_KEY", "_SECRET")):
                assert value is None or re.fullmatch(r"\$\{SLUICE_\w+:\?[^}]*\}", value), (name, key)


def test_minio_is_as_without_containers(settings: Settings) -> None:
    found = CONTAINERS["minio"]["environment"]
    expected = minio.environment(settings)
    assert found | {"MINIO_ROOT_PASSWORD": ""} == expected | {"MINIO_ROOT_PASSWORD": ""}
    assert minio.VERSION in (ROOT / "infra" / "images" / "minio" / "Dockerfile").read_text()


def test_postgres_is_as_without_containers() -> None:
    words = shlex.split(CONTAINERS["postgres"]["command"])
    found = dict(word.split("=", 1) for before, word in itertools.pairwise(words) if before == "-c")
    # The image's own socket is for its set-up.
    assert found == {name: value for name, value in postgres.OPTIONS.items() if name != "unix_socket_directories"}


def test_kafka_is_as_without_containers(settings: Settings) -> None:
    found = CONTAINERS["kafka"]["environment"]
    lines = [line.split("=", 1) for line in kafka.PROPERTIES.splitlines() if line and not line.startswith("#")]
    # Its addresses differ, and where its data is.
    expected = {name: value for name, value in lines if "{" not in value and not name.startswith("listener.security")}
    assert len(expected) > 10
    for name, value in expected.items():
        assert str(found[f"KAFKA_{name.replace('.', '_').upper()}"]) == value, name
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"


def test_redis_is_as_without_containers() -> None:
    lines = SPREAD["redis"]["command"][-1].splitlines()
    # What is only for whoever finds its process by its environment is not there.
    expected = {name: value for name, value in redis.OPTIONS.items() if name != "set-proc-title"}
    assert dict(line.split() for line in lines if line.split()[0] in redis.OPTIONS) == expected


@pytest.mark.parametrize("name", sorted(OWN | ONE_SHOT))
def test_spread_out_every_part_asks_for_any_of_the_brokers(name: str) -> None:
    assert SPREAD[name]["environment"]["SLUICE_KAFKA_HOST"] == "brokers"


@pytest.mark.parametrize("name", ["airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-worker"])
def test_spread_out_a_container_is_given_the_secrets_that_its_service_asks_for(name: str, settings: Settings) -> None:
    spread = settings.model_copy(update={"airflow_executor": "CeleryExecutor"})
    service = find(name, spread)
    assert service
    environment(service, spread)
    more = SPREAD[name]["environment"]
    base = CONTAINERS[SPREAD[name].get("extends", {}).get("service", name)]["environment"]
    given = {key for key, value in (base | more).items() if value is not RESET}
    assert {secret for secret in SECRETS if variable(secret) in given} == ASKED


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_do_little_and_is_held_to_its_share(name: str) -> None:
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
        # These two serve nobody: that they run is what there is.
        assert name in ("producer", "airflow-cleaner") or container["healthcheck"]["test"]
    assert ":latest" not in container["image"]
    for mount in container.get("volumes", []):
        assert not mount.startswith(".") or mount.endswith(":ro")


def test_the_last_step_of_a_launch_needs_every_service() -> None:
    needed, left = set(), ["marts"]
    while left:
        name = left.pop()
        needed.add(name)
        left += CONTAINERS[name].get("depends_on", {}).keys() - needed
    assert SERVICES.keys() - needed == {"producer"}


def test_whoever_needs_another_waits_until_it_is_healthy_or_done() -> None:
    for container in CONTAINERS.values():
        for needed, how in container.get("depends_on", {}).items():
            serves = "service_healthy" if "healthcheck" in CONTAINERS[needed] else "service_started"
            assert how["condition"] == ("service_completed_successfully" if needed in ONE_SHOT else serves)
