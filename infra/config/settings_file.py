"""The settings file of a platform (`.env`): written once with random secrets, extended when settings are added."""

import base64
import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from sluice.settings import Settings, variable
from sluice.settings.external_servers import GIVEN_SECRETS, ExternalServers
from sluice.settings.syntax import parse

HEADER = """\
# Settings and secrets of this platform, written by `make up` and read by every part of it. Change ports here.
# A password takes effect when its server is first set up; do not change it afterwards.
"""
SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)
"""The names of the settings that are secrets."""
GENERATED_SECRETS = tuple(name for name in SECRETS if name not in GIVEN_SECRETS)
"""The names of the secrets of the platform's own servers and users."""
PORTS = tuple(
    name for name in Settings.model_fields if name.endswith("_port") and name not in ExternalServers.model_fields
)
"""The names of the settings that are ports of the platform's own servers."""


def public_variables(settings: Settings) -> dict[str, str]:
    """Returns the environment variables of all settings that are not secrets, with their current values."""
    values = {name: getattr(settings, name) for name in Settings.model_fields if name not in SECRETS}
    return {variable(name): str(value) for name, value in values.items() if value is not None}


def secret_variables(settings: Settings, names: tuple[str, ...]) -> dict[str, str]:
    """Returns the environment variables of the named secrets that the settings use, with their values.

    Raises:
        TerminalError: one of the secrets is not set.
    """
    optional = {
        "kafka_password": settings.kafka_uses_sasl,
        "schema_registry_password": bool(settings.schema_registry_user),
    }
    return {variable(name): settings.secret(name) for name in names if optional.get(name, True)}


def complete(content: bytes | None, values: Mapping[str, object] | None = None, file: object = ".env") -> str:
    """Returns the lines of every port and secret that a settings file lacks or leaves empty, to append to it.

    Args:
        content: of the file; None if the file does not exist.
        values: settings by field name, to write instead of the defaults where the file does not set them.
        file: named in errors.

    Raises:
        TerminalError: a line of the file is not complete; the message has its number.
    """
    required = {variable(name): str(Settings.model_fields[name].default) for name in PORTS}
    required |= {variable(name): str(value) for name, value in (values or {}).items()}
    required |= {variable(name): _random_secret(name) for name in GENERATED_SECRETS if variable(name) not in required}
    if content is None:
        return HEADER + _lines(required)
    present = {name for name, entry in parse(content, file).items() if entry.value}
    missing = {name: value for name, value in required.items() if name not in present}
    return ("" if not missing or content.endswith(b"\n") or not content else "\n") + _lines(missing)


def ensure_settings_file(path: Path, values: Mapping[str, object] | None = None) -> bool:
    """Creates or completes the settings file: readable only by its owner, with every port and secret.

    Existing lines are kept.

    Args:
        path: the settings file.
        values: settings by field name, to write instead of the defaults where the file does not set them.

    Returns:
        Whether anything was written.
    """
    if path.exists():
        # A file system that keeps no permissions is reported by the check of the machine.
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)
        missing = complete(path.read_bytes(), values, path)
        if not missing:
            return False
        with path.open("a") as file:
            file.write(missing)
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    # All or nothing: an interrupted launch must not leave a file that lacks some of its secrets.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(complete(None, values))
    try:
        os.link(draft, path)
    except PermissionError:
        # A file system without permissions has no links either.
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """Returns a value as it means the same to Compose, a shell and this platform."""
    escaped = value.replace("'", "\\'")
    return value if re.fullmatch(r"[\w./:=@%+,-]*", value) else f"'{escaped}'"


def _random_secret(name: str) -> str:
    if name == "airflow_fernet_key":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    # HS512 signs with keys of at least 64 bytes; MinIO accepts passwords of at most 40 characters.
    return secrets.token_hex(32 if name in ("airflow_jwt_secret", "airflow_api_secret_key") else 16)
