"""The manifests are valid, run existing services, and give each exactly the secrets that it reads."""

import inspect
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr

from infra.config.settings_file import PORTS, SECRETS
from infra.launch.container_steps import STEPS
from infra.servers import airflow, kafka, spark
from infra.servers.service import environment
from infra.servers.services import find_service
from sluice.settings import ROOT, Settings, variable

FOLDER = ROOT / "infra" / "kubernetes"
VERSION = "1.33"
MANIFESTS = list(yaml.safe_load_all((FOLDER / "platform.yaml").read_text()))
ADDRESSES = next(manifest for manifest in MANIFESTS if manifest["kind"] == "ConfigMap")["data"]
CLUSTER = yaml.safe_load((FOLDER / "spark.yaml").read_text())
SPARK = CLUSTER["spec"]
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


def spark_pods() -> dict[str, dict[str, Any]]:
    """Returns the pods that Spark's operator creates, by the name of their container."""
    return {role: SPARK[f"{role}Spec"]["statefulSetSpec"]["template"]["spec"] for role in ("master", "worker")}


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_variable_of_the_config_map_is_a_setting() -> None:
    assert {name.removeprefix("SLUICE_").lower() for name in ADDRESSES} <= Settings.model_fields.keys()


def test_a_pod_has_minimal_privileges_and_a_memory_limit() -> None:
    assert len(pods()) == 3
    images = {"image": SPARK["sparkConf"]["spark.kubernetes.container.image"]}
    for pod, container in [*pods(), *((pod, pod["containers"][0] | images) for pod in spark_pods().values())]:
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


@pytest.mark.parametrize("role", ["master", "worker"])
def test_sparks_pods_are_valid_and_receive_only_the_secret_of_the_cluster(role: str) -> None:
    pod = spark_pods()[role]
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role}, "spec": pod}
    kubernetes_validate.validate(manifest, VERSION, strict=True)
    (container,) = pod["containers"]
    # The operator looks for its container by this name.
    assert container["name"] == role
    secrets = [entry["name"] for entry in container["env"] if "valueFrom" in entry]
    assert secrets == [variable("spark_secret")]
    assert {"name": "SPARK_DAEMON_MEMORY", "value": spark.DAEMON_MEMORY} in container["env"]


def test_sparks_cluster_is_configured_as_without_kubernetes() -> None:
    # The only API version that is not an earlier draft.
    assert CLUSTER["apiVersion"] == "spark.apache.org/v1"
    options = {name: value for name, value in SPARK["sparkConf"].items() if not name.startswith("spark.kubernetes.")}
    assert options == spark.OPTIONS
    lock = (ROOT / "infra" / "requirements" / "spark.txt").read_text()
    assert f"\npyspark=={SPARK['runtimeVersions']['sparkVersion']} " in lock
    assert {*SPARK["clusterTolerations"]["instanceConfig"].values()} == {len(spark.WORKERS)}
    assert ADDRESSES["SLUICE_SPARK_HOST"] == f"{CLUSTER['metadata']['name']}-master-svc"


def test_what_sparks_operator_starts_is_in_the_image() -> None:
    image = ROOT / "infra" / "images" / "spark"
    assert "COPY infra/images/spark/sbin /opt/spark/sbin" in (image / "Dockerfile").read_text()
    for role, name in (("master", spark.MASTER_CLASS), ("worker", spark.WORKER_CLASS)):
        assert name in (image / "sbin" / f"start-{role}.sh").read_text()


def test_the_job_that_provisions_has_the_arguments_that_its_step_takes() -> None:
    (job,) = (container for pod, container in pods() if container["name"] == "init")
    name, *arguments = job["args"]
    assert len(arguments) == len(inspect.signature(STEPS[name]).parameters)


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
