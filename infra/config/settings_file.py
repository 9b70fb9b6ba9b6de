"""The settings file of a platform (`.env`): written once with random secrets, completed when settings are added."""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from sluice.settings import Settings

HEADER = """\
# Settings and secrets of this platform, written by `make up`, read by every part of it. Change ports here.
# Passwords take effect when their server is set up for the first time; afterwards they must stay as they are.
"""
SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None)
"""The names of the settings that are secrets."""
PORTS = tuple(name for name in Settings.model_fields if name.endswith("_port"))
"""The names of the settings that are ports."""


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"SLUICE_{name.upper()}"


def public_variables(settings: Settings) -> dict[str, str]:
    """The variables of every setting that is no secret, with their present values."""
    return {variable(name): str(getattr(settings, name)) for name in Settings.model_fields if name not in SECRETS}


def secret_variables(settings: Settings, names: tuple[str, ...]) -> dict[str, str]:
    """The variables of the secrets named.

    Raises:
        TerminalError: one of them is not set.
    """
    return {variable(name): settings.secret(name) for name in names}


def complete(text: str | None, values: Mapping[str, object] | None = None) -> str:
    """A settings file's text with every port and secret; what it already says stays as it is.

    Args:
        text: what the file holds; None where there is none.
        values: settings by field name to write in place of the defaults, where the text does not have them yet.
    """
    wanted = {variable(name): str(Settings.model_fields[name].default) for name in PORTS}
    wanted |= {variable(name): str(value) for name, value in (values or {}).items()}
    wanted |= {variable(name): _random(name) for name in SECRETS if variable(name) not in wanted}
    if text is None:
        return HEADER + _lines(wanted)
    present = {line.partition("=")[0].removeprefix("export ").strip() for line in text.splitlines()}
    missing = {name: value for name, value in wanted.items() if name not in present}
    return text + ("" if not missing or text.endswith("\n") or not text else "\n") + _lines(missing)


def ensure_environment(path: Path, values: Mapping[str, object] | None = None) -> bool:
    """Makes sure that the settings file exists, for its owner alone, and has every port and secret.

    What it already says stays as it is.

    Args:
        path: the settings file.
        values: settings by field name to write in place of the defaults, where the file does not have them yet.

    Returns:
        Whether something was written.
    """
    if path.exists():
        path.chmod(0o600)
        text = path.read_text()
        completed = complete(text, values)
        if completed == text:
            return False
        with path.open("a") as file:
            file.write(completed.removeprefix(text))
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: an interrupted launch must not leave a file without some of its secrets.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(complete(None, values))
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
    return True


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _random(name: str) -> str:
    if name == "airflow_fernet_key":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    # HS512 signs with keys of at least 64 bytes; MinIO takes passwords of at most 40 characters.
    return secrets.token_hex(32 if name in ("airflow_jwt_secret", "airflow_api_secret_key") else 16)
