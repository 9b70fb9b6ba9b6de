"""The settings of external servers: what cannot be right is one line that names the variable."""

from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.config.settings_file import GENERATED_SECRETS, PORTS, complete, public_variables
from infra.install.installs import install_steps
from infra.launch import launch
from infra.launch.provisioning import Provisioning
from infra.processes.steps import _check
from infra.servers.service import environment
from infra.servers.services import SERVICES, services
from infra.supervision.platform import Platform
from infra.supervision.supervisor import configuration
from sluice.contracts import load_contracts
from sluice.errors import TerminalError
from sluice.kafka.connection import kafka_python_options, librdkafka_options
from sluice.kafka.consumer_config import consumer_config
from sluice.lake.bucket import credentials
from sluice.lake.layout import storage_options
from sluice.settings import Settings, load_settings
from sluice.transform.dbt import Dbt
from sluice.warehouse.connect import own_server, uri, warehouse_server

SECRET = "never-printed"
BROKERS = {"KAFKA_BOOTSTRAP": "a.example:9093,b.example:9093"}
SASL = {**BROKERS, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USER": "me"}
Load = Callable[..., Settings]
STORE = {"S3_ENDPOINT": "https://s3.example:9000", "S3_REGION": "eu-central-1"}
WAREHOUSE = {"WAREHOUSE_HOST": "db.example", "WAREHOUSE_SSLMODE": "require"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Returns a function that loads settings from a file with these variables."""

    def load(**variables: str) -> Settings:
        file = tmp_path / "settings.env"
        generated = {name.upper(): "own" for name in GENERATED_SECRETS}
        lines = {**generated, "HOME": str(tmp_path), **variables}
        file.write_text("".join(f"SLUICE_{name}={value}\n" for name, value in lines.items()))
        monkeypatch.setenv("SLUICE_ENV_FILE", str(file))
        return load_settings()

    return load


@pytest.fixture
def pem(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.write_text("-")
    return str(file)


@pytest.mark.parametrize(
    ("variables", "name", "fault"),
    [
        ({"KAFKA_BOOTSTRAP": "broker"}, "KAFKA_BOOTSTRAP", "expected host:port"),
        ({"KAFKA_BOOTSTRAP": "user:pass@broker:9092"}, "KAFKA_BOOTSTRAP", "expected host:port"),
        ({**BROKERS, "KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL", "Input should be"),
        ({**SASL, "KAFKA_SASL_MECHANISM": ""}, "KAFKA_SASL_MECHANISM", "is missing"),
        ({**SASL, "KAFKA_USER": ""}, "KAFKA_USER", "is missing"),
        ({**BROKERS, "KAFKA_USER": "me"}, "KAFKA_USER", "has no effect with SLUICE_KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({**BROKERS, "KAFKA_PASSWORD": SECRET}, "KAFKA_PASSWORD", "has no effect"),
        ({**SASL, "KAFKA_CA_FILE": "/nowhere/ca.pem"}, "KAFKA_CA_FILE", "cannot read the file /nowhere/ca.pem"),
        ({**BROKERS, "KAFKA_CA_FILE": "{pem}"}, "KAFKA_CA_FILE", "has no effect .* does not encrypt"),
        ({**SASL, "KAFKA_CERTIFICATE_FILE": "{pem}"}, "KAFKA_KEY_FILE", "is missing"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SECURITY_PROTOCOL", "has no effect without SLUICE_KAFKA_BOOTSTRAP"),
        ({"KAFKA_PASSWORD": SECRET}, "KAFKA_PASSWORD", "has no effect without SLUICE_KAFKA_BOOTSTRAP"),
        ({"S3_ENDPOINT": "s3.example"}, "S3_ENDPOINT", "expected a URL"),
        ({"S3_ENDPOINT": "https://key:secret@s3.example"}, "S3_ENDPOINT", "expected a URL"),
        ({"S3_ENDPOINT": "https://s3.example/bucket"}, "S3_ENDPOINT", "expected a URL"),
        (STORE, "LAKE_WRITER_ACCESS_KEY", "is missing"),
        ({**STORE, "LAKE_WRITER_ACCESS_KEY": "w"}, "LAKE_READER_ACCESS_KEY", "is missing"),
        ({"S3_SECRET_KEY": SECRET}, "S3_SECRET_KEY", "has no effect without SLUICE_S3_ENDPOINT"),
        ({"LAKEHOUSE_ACCESS_KEY": "k"}, "LAKEHOUSE_ACCESS_KEY", "has no effect without SLUICE_S3_ENDPOINT"),
        (
            {"S3_ENDPOINT": "http://s3.example", "S3_ACCESS_KEY": "k", "S3_CA_FILE": "{pem}"},
            "S3_CA_FILE",
            "without TLS",
        ),
        ({"WAREHOUSE_HOST": "db.example"}, "WAREHOUSE_CA_FILE", "and SLUICE_WAREHOUSE_SSLMODE=verify-full needs it"),
        ({**WAREHOUSE, "WAREHOUSE_SSLMODE": "yes"}, "WAREHOUSE_SSLMODE", "Input should be"),
        ({**WAREHOUSE, "WAREHOUSE_PORT": "0"}, "WAREHOUSE_PORT", "greater than or equal to 1"),
        ({"WAREHOUSE_ADMIN_PASSWORD": SECRET}, "WAREHOUSE_ADMIN_PASSWORD", "without SLUICE_WAREHOUSE_HOST"),
        ({"SCHEMA_REGISTRY_URL": "registry:8081"}, "SCHEMA_REGISTRY_URL", "expected a URL"),
        ({"SCHEMA_REGISTRY_URL": "https://user:secret@registry"}, "SCHEMA_REGISTRY_URL", "expected a URL"),
        ({"SCHEMA_REGISTRY_USER": "me"}, "SCHEMA_REGISTRY_USER", "has no effect without SLUICE_SCHEMA_REGISTRY_URL"),
        (
            {"SCHEMA_REGISTRY_URL": "http://registry", "SCHEMA_REGISTRY_PASSWORD": SECRET},
            "SCHEMA_REGISTRY_PASSWORD",
            "has no effect without SLUICE_SCHEMA_REGISTRY_USER",
        ),
    ],
)
def test_what_cannot_be_right_is_one_line_that_names_the_variable(
    load: Load, variables: dict[str, str], name: str, fault: str, pem: str
) -> None:
    with pytest.raises(TerminalError, match=rf"SLUICE_{name}\b.* {fault}") as error:
        load(**{key: value.format(pem=pem) for key, value in variables.items()})
    message = str(error.value)
    assert message.isprintable()
    assert ". Hint: " in message
    assert SECRET not in message


def test_a_fault_names_the_line_of_the_file(load: Load) -> None:
    with pytest.raises(TerminalError, match=r"settings\.env, line \d+: SLUICE_KAFKA_USER has no effect"):
        load(KAFKA_USER="me")


def test_a_password_that_is_missing_is_named_where_it_is_used(load: Load) -> None:
    settings = load(**SASL)
    assert settings.needed_secrets == ["kafka_password"]
    for use in (librdkafka_options, kafka_python_options, lambda used: environment(SERVICES["sink"], used)):
        with pytest.raises(TerminalError, match=r"SLUICE_KAFKA_PASSWORD is missing\. Hint: set it in \.env"):
            use(settings)
    pair = load(**STORE, S3_ACCESS_KEY="key")
    assert pair.needed_secrets == ["s3_secret_key"]


def test_both_kafka_libraries_get_the_same(load: Load, pem: str) -> None:
    files = {"KAFKA_CA_FILE": pem, "KAFKA_CERTIFICATE_FILE": pem, "KAFKA_KEY_FILE": pem}
    settings = load(**SASL, **files, KAFKA_PASSWORD=SECRET)
    assert librdkafka_options(settings) == {
        "bootstrap.servers": "a.example:9093,b.example:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": SECRET,
        "ssl.ca.location": pem,
        "ssl.certificate.location": pem,
        "ssl.key.location": pem,
    }
    assert librdkafka_options(settings).items() <= consumer_config(settings, "group").items()
    assert kafka_python_options(settings) == {
        "bootstrap_servers": ["a.example:9093", "b.example:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "me",
        "sasl_plain_password": SECRET,
        "ssl_cafile": pem,
        "ssl_certfile": pem,
        "ssl_keyfile": pem,
    }


def test_the_platforms_own_servers_get_no_option_that_they_did_not_have(load: Load) -> None:
    settings = load()
    assert librdkafka_options(settings) == {"bootstrap.servers": "127.0.0.1:9092"}
    assert kafka_python_options(settings) == {"bootstrap_servers": ["127.0.0.1:9092"]}
    assert credentials(settings, "writer") == ("sluice-writer", "own")
    assert (
        storage_options(settings, "reader").items()
        >= {
            "aws_endpoint": "http://127.0.0.1:9000",
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
        }.items()
    )
    assert warehouse_server(settings) == own_server(settings)
    assert uri(settings, "reader") == "postgresql://sluice_reader:own@127.0.0.1:5432/warehouse?connect_timeout=10"
    assert not [name for name in Dbt(settings, print)._environment() if name.startswith("PG")]
    assert not any(service.external for service in services(settings).values())


def test_one_pair_of_keys_serves_every_user_of_the_lake_without_its_own(
    load: Load, monkeypatch: pytest.MonkeyPatch, pem: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    settings = load(**STORE, S3_CA_FILE=pem, S3_ACCESS_KEY="common", S3_SECRET_KEY=SECRET, LAKE_READER_ACCESS_KEY="r")
    assert credentials(settings, "writer") == credentials(settings, "keeper") == ("common", SECRET)
    assert credentials(settings, "reader") == ("r", "own")
    options = storage_options(settings, "writer")
    assert (options["aws_endpoint"], options["aws_allow_http"]) == ("https://s3.example:9000", "false")
    assert (options["aws_region"], options["aws_secret_access_key"]) == ("eu-central-1", SECRET)


def test_a_service_receives_the_secrets_of_what_it_uses(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(**SASL, KAFKA_PASSWORD=SECRET, **STORE, S3_ACCESS_KEY="common", S3_SECRET_KEY=f"{SECRET}-s3")
    table = services(settings)
    own = {name: service for name, service in table.items() if not service.external}
    received = {name for name, service in own.items() if SECRET in environment(service, settings).values()}
    assert received == {"sink", "live", "dashboard", "producer", "airflow-scheduler"}
    sink = environment(own["sink"], settings)
    # The service, which reads nothing but its environment, has the same settings.
    for name, value in sink.items():
        monkeypatch.setenv(name, value)
    inside = load_settings()
    assert credentials(inside, "writer") == ("common", f"{SECRET}-s3")
    assert librdkafka_options(inside) == librdkafka_options(settings)
    assert "SLUICE_S3_SECRET_KEY" not in sink
    assert SECRET not in str(public_variables(settings)) + repr(settings) + configuration(own.values(), settings.home)


def test_only_what_decodes_events_receives_the_password_of_the_schema_registry(load: Load) -> None:
    registry = {"SCHEMA_REGISTRY_URL": "https://registry.example/apis/v7/", "SCHEMA_REGISTRY_USER": "me"}
    settings = load(**registry, SCHEMA_REGISTRY_PASSWORD=SECRET)
    assert settings.schema_registry_url == "https://registry.example/apis/v7"
    assert settings.needed_secrets == ["schema_registry_password"]
    received = {
        name for name, service in services(settings).items() if SECRET in environment(service, settings).values()
    }
    assert received == {"live", "airflow-scheduler"}


def test_the_warehouse_can_be_elsewhere_while_airflow_stays(load: Load, pem: str) -> None:
    settings = load(**WAREHOUSE, WAREHOUSE_PORT="6432", WAREHOUSE_CA_FILE=pem, WAREHOUSE_ADMIN_PASSWORD=SECRET)
    server = warehouse_server(settings)
    assert (server.address, server.user("postgres"), server.user("reader")) == (
        "db.example:6432",
        "postgres",
        "sluice_reader",
    )
    assert conninfo_to_dict(uri(settings, "reader")).items() >= server.tls.items()
    assert server.tls == {"sslmode": "require", "sslrootcert": pem}
    variables = Dbt(settings, print)._environment()
    assert (variables["SLUICE_POSTGRES_HOST"], variables["PGSSLMODE"]) == ("db.example", "require")
    assert variables["PGSSLROOTCERT"] == pem
    scheduler = environment(SERVICES["airflow-scheduler"], settings)
    assert '"host": "db.example"' in scheduler["AIRFLOW_CONN_WAREHOUSE_LOADER"]
    assert '"sslmode": "require"' in scheduler["AIRFLOW_CONN_WAREHOUSE_LOADER"]
    assert "@127.0.0.1:5432/airflow" in scheduler["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_a_launch_with_external_servers_has_every_step_that_its_steps_need(load: Load) -> None:
    settings = load(**SASL, **STORE, S3_ACCESS_KEY="k", **WAREHOUSE)
    platform = Platform(settings, settings.home / "settings.env", lambda _: None)
    contracts = load_contracts(settings.contracts)
    steps = {step.name: step for step in launch._steps(platform, Provisioning(settings, contracts), contracts, 0, ())}
    _check(steps)
    assert {"kafka", "postgres", "postgres-warehouse"} <= set(steps["contracts"].needs)


def test_nothing_of_an_external_server_is_installed_supervised_or_generated(load: Load) -> None:
    settings = load(**SASL, **STORE, S3_ACCESS_KEY="k", **WAREHOUSE)
    table = services(settings)
    assert {name for name, service in table.items() if service.external} == {"kafka", "minio", "postgres-warehouse"}
    assert [step.name for step in install_steps(settings)] == []
    assert not [port for name in ("kafka", "minio") for port in table[name].ports]
    text = complete(None)
    for name in ("KAFKA_PASSWORD", "S3_SECRET_KEY", "WAREHOUSE_ADMIN_PASSWORD", "WAREHOUSE_PORT"):
        assert f"SLUICE_{name}=" not in text
    assert "warehouse_port" not in PORTS
