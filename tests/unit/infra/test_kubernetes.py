"""The manifests are valid, run the services that there are, and give each what it asks for."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr

from infra.config.settings_file import SECRETS, variable
from infra.servers import kafka
from infra.servers.service import environment
from infra.servers.services import find
from sluice.settings import ROOT, Settings

FOLDER = ROOT / "infra" / "kubernetes"
VERSION = "1.33"
MANIFESTS = list(yaml.safe_load_all((FOLDER / "platform.yaml").read_text()))
PLACES = next(each for each in MANIFESTS if each["kind"] == "ConfigMap")["data"]
VALUES = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text())


class Watched(Settings):
    """Settings that note which secrets are asked for."""

    def secret(self, name: str) -> str:
        ASKED.add(name)
        return super().secret(name)


ASKED: set[str] = set()


def named(env: list[dict[str, Any]]) -> set[str]:
    return {each["name"] for each in env}


def pods() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    found = [each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]
    return [(pod, container) for pod in found for container in pod["containers"]]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_place_is_a_setting() -> None:
    assert {name.removeprefix("SLUICE_").lower() for name in PLACES} <= Settings.model_fields.keys()


def test_a_pod_can_do_little_and_is_held_to_its_share() -> None:
    assert len(pods()) == 3
    for pod, container in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert not re.search(r":latest$|^[^:]+$", container["image"])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("airflow-api-server", VALUES["apiServer"]),
        ("airflow-dag-processor", VALUES["dagProcessor"]),
        ("airflow-triggerer", VALUES["triggerer"]),
        ("airflow-scheduler", VALUES["scheduler"]),
        ("airflow-worker", VALUES["workers"]),
        ("sink", next(container for _, container in pods() if container["name"] == "sink")),
        ("airflow-cleaner", next(container for _, container in pods() if container["name"] == "airflow-cleaner")),
    ],
)
def test_a_part_is_a_service_and_is_given_the_secrets_that_it_asks_for(
    name: str, part: dict[str, Any], tmp_path: Path
) -> None:
    assert part["args"] == [name]
    ASKED.clear()
    secrets = {secret: SecretStr("x" * 32) for secret in SECRETS}
    settings = Watched(_env_file=None, home=tmp_path, airflow_executor="CeleryExecutor", **secrets)  # type: ignore[arg-type]
    service = find(name, settings)
    assert service
    environment(service, settings)
    assert named(part["env"]) == {variable(secret) for secret in ASKED}


def test_kafka_keeps_every_record_on_three_nodes() -> None:
    pool, cluster = yaml.safe_load_all((FOLDER / "kafka.yaml").read_text())
    # What Strimzi has known alone since 1.0; Kafka 4.3.1 came with 1.2.
    assert {pool["apiVersion"], cluster["apiVersion"]} == {"kafka.strimzi.io/v1"}
    assert cluster["spec"]["kafka"]["version"] == kafka.VERSION
    assert pool["metadata"]["labels"] == {"strimzi.io/cluster": cluster["metadata"]["name"]}
    assert pool["spec"]["replicas"] == 3
    assert cluster["spec"]["kafka"]["config"]["default.replication.factor"] == 3
    assert cluster["spec"]["kafka"]["config"]["min.insync.replicas"] == 2
    assert f"{cluster['metadata']['name']}-kafka-bootstrap" == PLACES["SLUICE_KAFKA_HOST"]
