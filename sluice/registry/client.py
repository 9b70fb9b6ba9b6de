"""A client of a schema registry: the few calls of Confluent's REST interface that the platform needs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from sluice.errors import SluiceError, TerminalError, TransientError
from sluice.settings import Settings

# It logs each request at level INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)

_TIMEOUT_SECONDS = 10.0
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_SUBJECT_NOT_FOUND, _VERSION_NOT_FOUND, _SCHEMA_NOT_FOUND = 40401, 40402, 40403
"""Error codes of Confluent's interface."""
_RETRYABLE = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class Reference:
    """Another registered schema, whose types a schema uses by name."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class RegisteredSchema:
    """A schema as the registry returns it."""

    text: str
    kind: str = "AVRO"
    """``AVRO``, ``JSON`` or ``PROTOBUF``."""
    references: tuple[Reference, ...] = field(default=())


class SchemaNotFoundError(TerminalError):
    """The registry has no schema of that id, subject or version."""


class SchemaRegistry:
    """The registry at ``SLUICE_SCHEMA_REGISTRY_URL``."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        """Connects on the first request.

        Args:
            settings: with the registry's URL, and perhaps its user and password.
            transport: replaces the network, for tests.

        Raises:
            TerminalError: the settings name no registry; or a user without a password.
        """
        if not settings.schema_registry_url:
            raise TerminalError(
                "no schema registry is configured, but a contract's format needs one",
                "set SLUICE_SCHEMA_REGISTRY_URL, for example to http://127.0.0.1:8081",
            )
        self._url = settings.schema_registry_url
        user = settings.schema_registry_user
        self._http = httpx.Client(
            base_url=self._url,
            auth=(user, settings.secret("schema_registry_password")) if user else None,
            headers={"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE},
            timeout=_TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> "SchemaRegistry":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def schema(self, schema_id: int) -> RegisteredSchema:
        """Returns the schema with that id.

        Raises:
            SchemaNotFoundError: there is none.
            TransientError: the registry is down or overloaded.
            TerminalError: the registry denies access, or the URL is not that of a registry.
        """
        return _schema(self._request("GET", f"/schemas/ids/{schema_id}"))

    def latest(self, subject: str) -> RegisteredSchema:
        """Returns the newest schema of a subject. Raises as ``schema``."""
        return self._version(subject, "latest")

    def referred(self, reference: Reference) -> RegisteredSchema:
        """Returns the schema that another one refers to. Raises as ``schema``."""
        return self._version(reference.subject, reference.version)

    def register(self, subject: str, schema: RegisteredSchema) -> int:
        """Registers a schema for a subject, unless the subject has it already, and returns its id.

        Raises:
            TransientError, TerminalError: as ``schema``; the registry may also reject the schema as incompatible.
        """
        return int(self._request("POST", f"/subjects/{_quote(subject)}/versions", _body(schema))["id"])

    def is_compatible(self, subject: str, schema: RegisteredSchema) -> bool:
        """Returns whether the registry would accept a schema as the subject's next one; a new subject accepts any.

        Raises:
            TransientError, TerminalError: as ``schema``.
        """
        path = f"/compatibility/subjects/{_quote(subject)}/versions/latest"
        try:
            return bool(self._request("POST", path, _body(schema))["is_compatible"])
        except SchemaNotFoundError:
            return True

    def _version(self, subject: str, version: int | str) -> RegisteredSchema:
        return _schema(self._request("GET", f"/subjects/{_quote(subject)}/versions/{version}"))

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise TransientError(
                f"the schema registry at {self._url} is down ({error or type(error).__name__})",
                "start it, or correct SLUICE_SCHEMA_REGISTRY_URL",
            ) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not response.is_success:
            raise self._error(f"{method} {path}", response, answer)
        return answer

    def _error(self, request: str, response: httpx.Response, answer: Any) -> SluiceError:
        code, detail = (answer.get("error_code"), answer.get("message")) if isinstance(answer, dict) else (None, None)
        message = f"the schema registry at {self._url} rejects {request}: {response.status_code} {detail or ''}"
        if code in (_SUBJECT_NOT_FOUND, _VERSION_NOT_FOUND, _SCHEMA_NOT_FOUND):
            return SchemaNotFoundError(message)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return TerminalError(message, "check SLUICE_SCHEMA_REGISTRY_USER and SLUICE_SCHEMA_REGISTRY_PASSWORD")
        if response.is_server_error or response.status_code in _RETRYABLE:
            return TransientError(message, "retry, or see the registry's log")
        if code is None:
            # An unknown id must not be confused with a server that is not a registry: that would cost every record.
            return TerminalError(
                f"{self._url} does not answer {request} as a schema registry does: {response.status_code}",
                "correct SLUICE_SCHEMA_REGISTRY_URL; it may need a path, such as /apis/ccompat/v7",
            )
        return TerminalError(message)


def _schema(answer: Mapping[str, Any]) -> RegisteredSchema:
    return RegisteredSchema(
        answer["schema"],
        # The interface leaves it out for Avro, its first type.
        answer.get("schemaType") or "AVRO",
        tuple(Reference(item["name"], item["subject"], item["version"]) for item in answer.get("references") or ()),
    )


def _body(schema: RegisteredSchema) -> dict[str, Any]:
    references = [vars(reference) for reference in schema.references]
    return {"schema": schema.text, "schemaType": schema.kind} | ({"references": references} if references else {})


def _quote(subject: str) -> str:
    return quote(subject, safe="")
