"""The manifests are valid, run existing services, and give each exactly the secrets that it reads."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr

from infra.config.settings_file import PORTS, SECRETS
from infra.servers import airflow, kafka
from infra.servers.service import environment
from infra.servers.services import find_service
from sluice.settings import ROOT, Settings, variable

FOLDER = ROOT / "infra" / "kubernetes"
VERSION = "1.33"
MANIFESTS = list(yaml.safe_load_all((FOLDER / "platform.yaml").read_text()))
ADDRESSES = next(manifest for manifest in MANIFESTS if manifest["kind"] == "ConfigMap")["data"]
VALUES = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text())


class RecordingSettings(Settings):
    """Settings that record which secrets are read."""

    def secret(self, name: str) -> str:
        SECRETS_READ.add(name)
        return super().secret(name)


SECRETS_READ: set[str] = set()


def variable_names(env: list[dict[str, Any]]) -> set[str]:
    return {entry["name"] for entry in env}


def pods() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    kinds = ("Deployment", "Job")
    specs = [manifest["spec"]["template"]["spec"] for manifest in MANIFESTS if manifest["kind"] in kinds]
    return [(pod, container) for pod in specs for container in pod["containers"]]


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_variable_of_the_config_map_is_a_setting() -> None:
    assert {name.removeprefix("SLUICE_").lower() for name in ADDRESSES} <= Settings.model_fields.keys()


def test_a_pod_has_minimal_privileges_and_a_memory_limit() -> None:
    assert len(pods()) == 3
    for pod, container in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert not re.search(r":latest$|^[^:]+$", container["image"])


@pytest.mark.parametrize(
    ("name", "component"),
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
def test_a_component_is_a_service_and_receives_exactly_the_secrets_that_it_reads(
    name: str, component: dict[str, Any], tmp_path: Path
) -> None:
    assert component["args"] == [name]
    SECRETS_READ.clear()
    secrets = {secret: SecretStr("x" * 32) for secret in SECRETS}
    settings = RecordingSettings(_env_file=None, home=tmp_path, airflow_executor="CeleryExecutor", **secrets)  # type: ignore[call-arg]
    service = find_service(name, settings)
    assert service
    environment(service, settings)
    assert variable_names(component["env"]) == {variable(secret) for secret in SECRETS_READ}


def test_a_liveness_probe_depends_on_nothing_but_its_own_component() -> None:
    (sink,) = (container for _, container in pods() if container["name"] == "sink")
    assert sink["livenessProbe"]["httpGet"]["path"] == sink["startupProbe"]["httpGet"]["path"] == "/live"
    assert sink["readinessProbe"]["httpGet"]["path"] == "/health"
    for key in ("scheduler", "dagProcessor", "triggerer", "workers"):
        (name,) = VALUES[key]["args"]
        assert VALUES[key]["livenessProbe"]["command"] == ["python", "-m", "infra", "alive", name]


@pytest.mark.parametrize(
    "name", ["airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker", "airflow-cleaner"]
)
def test_a_component_is_alive_while_everything_that_it_needs_is_down(name: str, tmp_path: Path) -> None:
    secrets = {secret: SecretStr("x" * 32) for secret in SECRETS}
    ports = dict.fromkeys(PORTS, 1)
    settings = Settings(_env_file=None, home=tmp_path, airflow_executor="CeleryExecutor", **ports, **secrets)  # type: ignore[call-arg, arg-type]
    service = find_service(name, settings)
    assert service
    assert service.check_liveness(settings) is None


@pytest.mark.parametrize("component", ["scheduler", "dag_processor", "triggerer"])
@pytest.mark.parametrize(
    ("database", "state", "alive"),
    [("healthy", "healthy", True), ("healthy", "unhealthy", False), ("unhealthy", None, True)],
)
def test_a_component_without_a_heartbeat_is_restarted_only_while_the_database_is_up(
    component: str, database: str, state: str | None, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = {"metadatabase": {"status": database}, component: {"status": state}}
    monkeypatch.setattr(airflow.probes, "http_json", lambda *_: health)
    assert (airflow.check_component_liveness(Settings(_env_file=None), component) is None) == alive  # type: ignore[call-arg]


def test_every_record_is_replicated_to_three_kafka_nodes() -> None:
    pool, cluster = yaml.safe_load_all((FOLDER / "kafka.yaml").read_text())
    # The only API version since Strimzi 1.0; Kafka 4.3.1 is supported since 1.2.
    assert {pool["apiVersion"], cluster["apiVersion"]} == {"kafka.strimzi.io/v1"}
    assert cluster["spec"]["kafka"]["version"] == kafka.VERSION
    assert pool["metadata"]["labels"] == {"strimzi.io/cluster": cluster["metadata"]["name"]}
    assert pool["spec"]["replicas"] == 3
    assert cluster["spec"]["kafka"]["config"]["default.replication.factor"] == 3
    assert cluster["spec"]["kafka"]["config"]["min.insync.replicas"] == 2
    assert f"{cluster['metadata']['name']}-kafka-bootstrap" == ADDRESSES["SLUICE_KAFKA_HOST"]
