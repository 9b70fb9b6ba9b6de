"""The client of the registry: its calls, and which of its errors a retry can resolve."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sluice.errors import TerminalError, TransientError
from sluice.registry.client import Reference, RegisteredSchema, SchemaNotFoundError, SchemaRegistry
from sluice.settings import Settings
from tests.fixtures.ports import free_ports
from tests.fixtures.schema_registry import PASSWORD, USER, schema_registry

CODE = RegisteredSchema('{"type": "string"}')


def settings_of(url: str, **values: Any) -> Settings:
    return Settings(_env_file=None, schema_registry_url=url, **values)  # type: ignore[call-arg]


def answering(status: int, content: Any) -> SchemaRegistry:
    body = content if isinstance(content, str) else json.dumps(content)
    return SchemaRegistry(
        settings_of("http://registry.invalid/"), httpx.MockTransport(lambda _: httpx.Response(status, text=body))
    )


def test_schemas_are_registered_and_found_by_id_subject_and_version() -> None:
    with schema_registry() as server, SchemaRegistry(settings_of(f"http://127.0.0.1:{server.server_port}")) as registry:
        # The slash must not become a part of the path.
        schema_id = registry.register("codes/all-value", CODE)
        assert registry.register("codes/all-value", CODE) == schema_id
        referring = RegisteredSchema('{"type": "object"}', "JSON", (Reference("code", "codes/all-value", 1),))
        other = registry.register("objects-value", referring)
        assert other != schema_id
        assert registry.schema(schema_id) == CODE
        assert registry.schema(other) == registry.latest("objects-value") == referring
        assert registry.referred(Reference("code", "codes/all-value", 1)) == CODE
        assert registry.is_compatible("codes/all-value", CODE)
        assert not registry.is_compatible("codes/all-value", RegisteredSchema('{"type": "int"}'))
        assert registry.is_compatible("new-value", CODE)
        for unknown in (lambda: registry.schema(99), lambda: registry.latest("none-value")):
            with pytest.raises(SchemaNotFoundError, match="not found"):
                unknown()


def test_the_user_and_password_are_sent_and_never_shown() -> None:
    with schema_registry(password=PASSWORD) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        settings = settings_of(url, schema_registry_user=USER, schema_registry_password=SecretStr(PASSWORD))
        with SchemaRegistry(settings) as registry:
            assert registry.schema(registry.register("codes-value", CODE)) == CODE
        for denied in (settings_of(url), settings.model_copy(update={"schema_registry_password": SecretStr("wrong")})):
            with SchemaRegistry(denied) as registry, pytest.raises(TerminalError) as error:
                registry.schema(1)
            assert "SLUICE_SCHEMA_REGISTRY_PASSWORD" in str(error.value)
            assert "wrong" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (404, {"error_code": 40403, "message": "Schema 7 not found"}, SchemaNotFoundError),
        (404, {"error_code": 40401, "message": "Subject not found"}, SchemaNotFoundError),
        # Not a registry: were this an unknown id, a wrong URL would send every record to quarantine.
        (404, {"title": "no such path"}, TerminalError),
        (404, "<html>", TerminalError),
        (200, "<html>welcome</html>", TerminalError),
        (301, "", TerminalError),
        (403, {"error_code": 403, "message": "no"}, TerminalError),
        (422, {"error_code": 42201, "message": "invalid schema"}, TerminalError),
        (429, {"error_code": 429, "message": "slow down"}, TransientError),
        (500, {"error_code": 50001, "message": "error in the store"}, TransientError),
        (502, "<html>bad gateway</html>", TransientError),
    ],
)
def test_an_error_says_whether_a_retry_can_help(status: int, content: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as error:
        answering(status, content).schema(7)
    assert type(error.value) is kind
    assert str(error.value).startswith(("the schema registry at http://registry.invalid ", "http://registry.invalid "))
    assert "\n" not in str(error.value)


def test_a_registry_that_is_down_is_a_transient_error() -> None:
    with pytest.raises(TransientError, match=r"is down .* Hint: .*SLUICE_SCHEMA_REGISTRY_URL"):
        SchemaRegistry(settings_of(f"http://127.0.0.1:{free_ports(1)[0]}")).schema(1)


def test_a_registry_that_is_not_configured_is_a_terminal_error() -> None:
    with pytest.raises(TerminalError, match="SLUICE_SCHEMA_REGISTRY_URL"):
        SchemaRegistry(settings_of(""))
    with pytest.raises(TerminalError, match="SLUICE_SCHEMA_REGISTRY_PASSWORD is missing"):
        SchemaRegistry(settings_of("http://registry:8081", schema_registry_user="u"))
