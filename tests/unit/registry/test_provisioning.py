"""When streams are provisioned, contracts are compared with registered schemas; nothing of it can stop a launch."""

import threading
from typing import Any

import pytest

from infra.launch import provisioning
from sluice.contracts import Contract
from sluice.registry.client import RegisteredSchema, SchemaRegistry
from sluice.registry.provisioning import schema_warnings
from sluice.settings import Settings
from tests.fixtures.ports import free_ports
from tests.fixtures.schema_registry import schema_registry


def _contract(format_name: str, **topic: Any) -> Contract:
    return Contract.model_validate(
        {
            "stream": "plant.readings",
            "description": "Readings.",
            "owner": "tests",
            "topic": {"partitions": 1, "retention_bytes": 1 << 20, **topic},
            "event_time": "record",
            "lateness": "1h",
            "format": format_name,
            "load": {"schedule": "* * * * *"},
            "columns": [{"name": "value", "type": "int64", "description": "The value."}],
        }
    )


def _settings(url: str) -> Settings:
    return Settings(_env_file=None, schema_registry_url=url)  # type: ignore[call-arg]


def test_a_schema_that_does_not_fit_is_named_with_its_column() -> None:
    with schema_registry() as server:
        settings = _settings(f"http://127.0.0.1:{server.server_port}")
        contracts = [_contract("avro"), _contract("json-registry", name="other"), _contract("json")]
        assert schema_warnings(settings, contracts) == []
        with SchemaRegistry(settings) as registry:
            registry.register("plant.readings-value", RegisteredSchema('"string"'))
            registry.register("other-value", RegisteredSchema('{"properties": {"value": {"type": "string"}}}', "JSON"))
        assert schema_warnings(settings, contracts) == [
            "plant.readings: the schema plant.readings-value does not fit the contract: value: the schema has no value",
            "plant.readings: the schema other-value does not fit the contract: "
            "value: expected int64, but the schema has string",
        ]


def test_a_registry_that_is_down_or_missing_is_a_line() -> None:
    contracts = [_contract("avro"), _contract("json")]
    (line,) = schema_warnings(_settings(f"http://127.0.0.1:{free_ports(1)[0]}"), contracts)
    assert line.startswith(
        "plant.readings: not compared with its registered schema: the schema registry at http://127."
    )
    (line,) = schema_warnings(_settings(""), [*contracts, _contract("json-registry")])
    assert "SLUICE_SCHEMA_REGISTRY_URL" in line


def test_a_launch_reports_the_lines_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("topics_refuse", "tables_refuse"):
        monkeypatch.setattr(provisioning, check, lambda *_: {})
    launch = provisioning.Provisioning(_settings(""), {"plant.readings": _contract("avro")})
    reported: list[str] = []
    (step,) = (step for step in launch.steps(lambda: None, reported.append) if step.name == "contracts")
    step.run(threading.Event())
    assert reported == launch.warnings()
    assert reported[0].startswith("plant.readings: not compared with its registered schema")
