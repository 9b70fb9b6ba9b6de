import stat
from pathlib import Path

from cryptography.fernet import Fernet

from infra.config.settings_file import GENERATED_SECRETS, PORTS, ensure_settings_file
from sluice.settings import Settings


def read(file: Path) -> Settings:
    return Settings(_env_file=file)  # type: ignore[call-arg]


def test_a_new_file_has_every_secret_and_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert ensure_settings_file(file)
    settings = read(file)
    values = [settings.secret(name) for name in GENERATED_SECRETS]
    assert len(set(values)) == len(GENERATED_SECRETS)
    assert all(len(value) >= 32 for value in values)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    Fernet(settings.secret("airflow_fernet_key").encode())


def test_two_files_share_no_secret(tmp_path: Path) -> None:
    ensure_settings_file(tmp_path / "a")
    ensure_settings_file(tmp_path / "b")
    a, b = read(tmp_path / "a"), read(tmp_path / "b")
    assert not {a.secret(name) for name in GENERATED_SECRETS} & {b.secret(name) for name in GENERATED_SECRETS}


def test_a_complete_file_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    ensure_settings_file(file)
    before = file.read_bytes()
    assert not ensure_settings_file(file)
    assert file.read_bytes() == before


def test_missing_settings_are_added_and_existing_ones_are_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SLUICE_KAFKA_PORT=19092\nexport SLUICE_LOADER_PASSWORD=mine")
    file.chmod(0o644)
    assert ensure_settings_file(file)
    settings = read(file)
    assert file.read_text().startswith("SLUICE_KAFKA_PORT=19092\nexport SLUICE_LOADER_PASSWORD=mine\n")
    assert settings.kafka_port == 19092
    assert settings.secret("loader_password") == "mine"
    assert all(settings.secret(name) for name in GENERATED_SECRETS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_passed_values_are_written_instead_of_defaults(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    ensure_settings_file(file, {"home": tmp_path / "home", **{name: 20000 + n for n, name in enumerate(PORTS)}})
    settings = read(file)
    assert settings.home == tmp_path / "home"
    assert [getattr(settings, name) for name in PORTS] == list(range(20000, 20000 + len(PORTS)))
