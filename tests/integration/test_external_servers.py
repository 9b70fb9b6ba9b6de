"""A platform whose Kafka, S3 store and warehouse are external: TLS with a private authority, passwords, other names."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from pydantic import SecretStr

from flights.live_view import schema as live_view
from infra.servers.services import services
from infra.supervision.platform import Platform
from producers.connection import connect as connect_producer
from producers.events import Event
from producers.stop import Stop
from sluice.alerts.clocks import clock_skew
from sluice.contracts import Contract, load_contracts
from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.kafka import topics
from sluice.kafka.diagnosis import connection_fault
from sluice.lake import bucket
from sluice.lake.layout import storage_options, table_uri
from sluice.lake.reader import LakeReader
from sluice.lake.table import LakeTable
from sluice.load import load
from sluice.reconcile import reconcile
from sluice.settings import Settings, load_settings
from sluice.transform.dbt import Dbt
from sluice.warehouse import connect, schema
from tests.fixtures.external import PASSWORD, External, external_servers
from tests.fixtures.ports import free_ports
from tests.fixtures.servers import CONTRACT, Stream

STREAM = "readings.external"
TOPIC = "Plant-7_Readings"
EVENTS = 50


@dataclass(frozen=True)
class Used:
    """The external servers as a platform uses them."""

    settings: Settings
    servers: External
    contract: Contract
    environment_file: Path

    def changed(self, **values: object) -> Settings:
        """Returns the settings with other values."""
        return self.settings.model_copy(update=values)


@pytest.fixture(scope="module")
def used(servers: Settings, environment_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    folder = tmp_path_factory.mktemp("external")
    contracts = folder / "contracts"
    contracts.mkdir()
    text = CONTRACT.format(stream=STREAM, partitions=2).replace("{partitions", f"{{name: {TOPIC}, partitions")
    (contracts / f"{STREAM}.yaml").write_text(text)
    # Postgres' data and the certificates must be accessible to another user.
    folder.chmod(0o755)
    with external_servers(folder) as external, pytest.MonkeyPatch.context() as patch:
        own = {"SLUICE_ENV_FILE": str(environment_file), "SLUICE_CONTRACTS": str(contracts)}
        for name, value in {**external.variables, **own}.items():
            patch.setenv(name, value)
        patch.delenv("SSL_CERT_FILE", raising=False)
        settings = load_settings()
        with connect(external.postgres, "postgres", "postgres") as server:
            server.execute(f"create role analyst login createrole createdb password '{PASSWORD}'".encode())
        contract = load_contracts(contracts)[STREAM]
        topics.provision(settings, {STREAM: contract})
        bucket.provision(settings)
        schema.provision(settings, {STREAM: contract})
        live_view.provision(settings)
        yield Used(settings, external, contract, environment_file)
    os.environ.pop("SSL_CERT_FILE", None)


def event(number: int) -> Event:
    value = {"event_id": f"e{number}", "sensor": "s", "read_at": "2013-01-01T10:15:00Z", "reading": 1}
    return Event(STREAM, b"s", json.dumps(value).encode(), 1_357_035_300_000, 0)


@pytest.mark.essential
def test_records_on_a_topic_of_another_name_reach_the_warehouse_and_reconcile_agrees(
    used: Used, capfd: pytest.CaptureFixture[str]
) -> None:
    # Each client sends half of them: the one at a pace, and the one as fast as possible.
    for speed in (0, 1):
        delivery = connect_producer(used.settings, {STREAM: TOPIC}, speed)
        for number in range(speed, EVENTS, 2):
            delivery.send(event(number))
        with Stop() as stop:
            delivery.flush(stop, lambda: None)
        delivery.close()
        assert delivery.total == EVENTS // 2
    stream = Stream(used.settings, used.contract, used.environment_file)
    stream.land()
    load(used.settings, used.contract)
    with connect(used.settings, "reader") as reader:
        assert reader.execute("select count(*), count(distinct event_id) from raw.readings_external").fetchall() == [
            (EVENTS, EVENTS)
        ]
        assert reader.pgconn.ssl_in_use
    result = reconcile(used.settings, {STREAM: used.contract})
    assert result.faults == []
    assert result.totals[STREAM].kafka == result.totals[STREAM].warehouse == EVENTS
    output = capfd.readouterr()
    assert PASSWORD not in output.out + output.err


def test_dbt_connects_as_the_settings_say(used: Used, tmp_path: Path) -> None:
    lines: list[str] = []
    Dbt(used.changed(home=tmp_path), lines.append).run("debug", "--connection")
    assert any("OK connection ok" in line for line in lines), lines
    assert PASSWORD not in "\n".join(lines)


def test_status_shows_external_servers_as_such(used: Used) -> None:
    statuses = {status.name: status for status in Platform(used.settings, used.environment_file).status()}
    for name in ("kafka", "minio", "postgres-warehouse"):
        assert (statuses[name].state, statuses[name].healthy) == ("external", True), statuses[name]
    assert clock_skew(used.settings) == {}


def test_what_exists_is_used_as_it_is_and_differences_are_reported(used: Used) -> None:
    contract = used.contract.model_copy(update={"topic": used.contract.topic.model_copy(update={"name": "kept"})})
    with topics.admin(used.settings) as admin:
        admin.create_topics({"kept": {"num_partitions": 3, "configs": {"retention.ms": "60000"}}})
    for _ in range(2):
        provisioned = topics.provision(used.settings, {STREAM: contract})
        assert provisioned.created == ()
        assert provisioned.changes[0] == "topic kept has 3 partitions, and its contract 2"
        assert provisioned.changes[1].startswith("topic kept has retention.ms=60000, and its contract -1: ")
    with connect(used.settings, "postgres") as admin:
        admin.execute("alter role sluice_reader password 'of its own'")
    try:
        with pytest.raises(TerminalError, match=r"as sluice_reader: .*SLUICE_READER_PASSWORD"):
            schema.provision(used.settings, {})
    finally:
        with connect(used.settings, "postgres") as admin:
            password = used.settings.secret("reader_password")
            admin.execute(f"alter role sluice_reader password '{password}'".encode())


def test_a_missing_right_is_one_line_that_says_what_to_ask_for(used: Used) -> None:
    guest = used.changed(kafka_user="guest")
    name = "of-a-guest"
    contract = used.contract.model_copy(update={"topic": used.contract.topic.model_copy(update={"name": name})})
    with pytest.raises(TerminalError, match=f"does not let this user see topic {name}.*ask Kafka's administrator"):
        topics.provision(guest, {STREAM: contract})
    with topics.admin(used.settings) as admin:
        pattern = ResourcePattern(ResourceType.TOPIC, name)
        admin.create_acls([ACL("User:guest", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW, pattern)])
    with pytest.raises(TerminalError) as error:
        topics.provision(guest, {STREAM: contract})
    message = str(error.value)
    assert f"user guest may not create {name}" in message
    assert f"create {name} with 2 partitions and cleanup.policy=delete, retention.ms=-1" in message
    with connect(used.servers.postgres, "postgres", "postgres") as server:
        server.execute(f"create role powerless login password '{PASSWORD}'".encode())
    with pytest.raises(TerminalError) as error:
        schema.provision(used.changed(warehouse_admin="powerless", warehouse="another"), {})
    assert 'to run: create database "another"' in str(error.value)


def test_without_the_administrators_password_the_warehouse_is_only_checked(used: Used) -> None:
    unprivileged = used.changed(warehouse_admin_password=None)
    contracts = {STREAM: used.contract}
    assert schema.refused_contracts(unprivileged, contracts) == {}
    assert schema.provision(unprivileged, contracts) is None
    live_view.provision(unprivileged)
    other = used.contract.model_copy(update={"stream": "readings.other"})
    with pytest.raises(TerminalError, match=r"raw\.readings_other does not exist\. Hint: .*ADMIN_PASSWORD"):
        schema.provision(unprivileged, {"readings.other": other})
    with connect(used.settings, "postgres", "postgres") as admin:
        admin.autocommit = True
        admin.execute("create database empty")
    with pytest.raises(TerminalError, match=r"the warehouse empty at 127.0.0.1:[0-9]+ has no tables"):
        schema.provision(unprivileged.model_copy(update={"warehouse": "empty"}), contracts)


def connect_to_kafka(settings: Settings) -> None:
    if fault := connection_fault(settings):
        raise fault


def test_a_command_that_kafka_rejects_says_why(used: Used) -> None:
    with pytest.raises(TerminalError, match=r"[Aa]uthentication failed"):
        topics.kafka_ranges(used.changed(kafka_password=SecretStr("wrong")), {STREAM: TOPIC})


Case = tuple[dict[str, object], type[SluiceError], str]


@pytest.mark.parametrize("fault", ["password", "authority", "host", "down"])
@pytest.mark.parametrize("server", ["kafka", "store", "warehouse"])
def test_a_server_that_cannot_be_used_is_a_one_line_error(used: Used, server: str, fault: str) -> None:
    secret, stranger, port = SecretStr("wrong"), used.servers.stranger.file, free_ports(1)[0]
    cases: dict[str, dict[str, Case]] = {
        "kafka": {
            "password": ({"kafka_password": secret}, TerminalError, "[Aa]uthentication failed"),
            "authority": ({"kafka_ca_file": stranger}, TerminalError, "certificate verify failed"),
            "host": ({"kafka_bootstrap": "nowhere.invalid:9092"}, TransientError, "nowhere.invalid.*(resolve|known)"),
            "down": ({"kafka_bootstrap": f"127.0.0.1:{port}"}, TransientError, "[Cc]onnection refused"),
        },
        "store": {
            "password": ({"lake_writer_password": secret}, TerminalError, "SignatureDoesNotMatch"),
            "authority": ({"s3_ca_file": stranger}, TerminalError, "certificate verify failed"),
            "host": ({"s3_endpoint": "https://nowhere.invalid"}, TransientError, "nowhere.invalid.*(resolve|known)"),
            "down": ({"s3_endpoint": f"https://127.0.0.1:{port}"}, TransientError, "[Cc]onnection refused"),
        },
        "warehouse": {
            "password": ({"reader_password": secret}, TerminalError, "password authentication failed"),
            "authority": ({"warehouse_ca_file": stranger}, TerminalError, "certificate verify failed"),
            "host": ({"warehouse_host": "nowhere.invalid"}, TransientError, "nowhere.invalid.*(resolve|known)"),
            "down": ({"warehouse_port": port}, TransientError, "[Cc]onnection refused"),
        },
    }
    calls: dict[str, Callable[[Settings], object]] = {
        "kafka": connect_to_kafka,
        "store": bucket.provision,
        "warehouse": lambda settings: connect(settings, "reader"),
    }
    values, kind, cause = cases[server][fault]
    with pytest.raises(kind, match=cause) as error:
        calls[server](used.changed(**values))
    assert str(error.value).isprintable()
    assert "Hint: " in str(error.value)
    assert PASSWORD not in str(error.value)


def test_the_load_names_a_store_that_it_cannot_verify(used: Used) -> None:
    try:
        with pytest.raises(TerminalError, match="SLUICE_S3_CA_FILE"):
            LakeReader(used.changed(s3_ca_file=used.servers.stranger.file), STREAM)
    finally:
        LakeTable(table_uri(used.settings, STREAM), storage_options(used.settings, "writer")).create()
        LakeReader(used.settings, STREAM)


def test_a_launch_probes_external_servers_and_starts_none(used: Used, tmp_path: Path) -> None:
    table = services(used.settings)
    assert {name for name, service in table.items() if service.external} == {"kafka", "minio", "postgres-warehouse"}
    platform = Platform(used.changed(home=tmp_path), used.environment_file, lambda _: None)
    assert platform._probe(table["kafka"]) == f"external, at {used.settings.kafka}"
    stopped = used.changed(kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(SluiceError, match=r"the external kafka cannot be used: .*refused"):
        Platform(stopped, used.environment_file)._probe(table["kafka"])


def test_the_superuser_is_not_needed(used: Used) -> None:
    with connect(used.settings, "postgres") as admin:
        assert admin.execute("select rolsuper, current_user from pg_roles where rolname = current_user").fetchall() == [
            (False, "analyst")
        ]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connect(used.settings, "loader") as loader:
        loader.execute("delete from ops.loads")
