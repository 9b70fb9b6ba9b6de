import configparser
import os
from pathlib import Path

import pytest

from infra.servers.services import SERVICES
from infra.supervision.supervisor import configuration, socket_path
from sluice.errors import SluiceError


def test_there_is_a_program_per_service_that_restarts_and_starts_only_when_asked(tmp_path: Path) -> None:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(configuration(SERVICES.values(), tmp_path))
    programs = {name.removeprefix("program:") for name in parsed.sections() if name.startswith("program:")}
    assert programs == SERVICES.keys()
    for name in programs:
        program = parsed[f"program:{name}"]
        assert (program["autostart"], program["autorestart"]) == ("false", "true")
        assert program["command"].endswith(f"-m infra {name}")
        # No settings, so no secrets: the service reads them itself.
        assert "environment" not in program


@pytest.mark.parametrize("length", [10, 60, 200])
def test_the_socket_s_name_fits_however_long_the_folder_s_is(length: int) -> None:
    home = Path("/") / ("h" * length)
    assert len(os.fsencode(socket_path(home))) <= 90
    assert socket_path(home) != socket_path(home / "other")


def test_a_folder_that_the_supervisor_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SluiceError, match="per cent"):
        configuration(SERVICES.values(), tmp_path / "100%")
