import configparser
import os
from pathlib import Path

import pytest

from infra.servers.services import SERVICES
from infra.supervision import supervisor as module
from infra.supervision.code_version import code_version
from infra.supervision.supervisor import Supervisor, configuration, socket_path
from sluice.errors import SluiceError


def test_each_service_is_a_program_that_is_restarted_but_not_started_automatically(tmp_path: Path) -> None:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(configuration(SERVICES.values(), tmp_path))
    programs = {name.removeprefix("program:") for name in parsed.sections() if name.startswith("program:")}
    assert programs == SERVICES.keys()
    for name in programs:
        program = parsed[f"program:{name}"]
        assert (program["autostart"], program["autorestart"]) == ("false", "true")
        assert program["command"].endswith(f"-m infra {name}")
        # No settings and therefore no secrets: the service reads them itself.
        assert "environment" not in program


@pytest.mark.parametrize("length", [10, 60, 200])
def test_the_socket_path_is_short_enough_regardless_of_the_folder(length: int) -> None:
    home = Path("/") / ("h" * length)
    assert len(os.fsencode(socket_path(home))) <= 90
    assert socket_path(home) != socket_path(home / "other")


def test_a_folder_with_a_per_cent_sign_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SluiceError, match="per cent"):
        configuration(SERVICES.values(), tmp_path / "100%")


def test_a_supervisor_with_another_configuration_is_outdated(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    before = Supervisor([SERVICES["sink"]], tmp_path, file)
    after = Supervisor([SERVICES["sink"], SERVICES["live"]], tmp_path, file)
    assert not before.is_outdated()
    try:
        before.ensure_running()
        assert not before.is_outdated()
        assert after.is_outdated()
    finally:
        before.shutdown()
    assert not after.is_outdated()


def test_a_supervisor_of_other_code_is_outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor([SERVICES["sink"]], tmp_path, tmp_path / "settings.env")
    try:
        supervisor.ensure_running()
        assert not supervisor.is_outdated()
        monkeypatch.setattr(module, "code_version", lambda: "another")
        assert supervisor.is_outdated()
    finally:
        supervisor.shutdown()


def test_the_code_version_follows_the_code_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "sluice" / "sink" / "sink.py"
    file.parent.mkdir(parents=True)
    versions = []
    for text in ("first = 1", "second = 2"):
        file.write_text(text)
        versions.append(code_version(tmp_path))
        (file.parent / "sink.pyc").write_text(text)
        (tmp_path / "README.md").write_text(text)
        assert code_version(tmp_path) == versions[-1]
    assert versions[0] != versions[1]
    assert code_version() == code_version()
