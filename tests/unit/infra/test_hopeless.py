"""A launch does not wait for a service whose problem waiting does not solve."""

from dataclasses import replace
from pathlib import Path

import pytest

from infra.processes.steps import Step
from infra.servers import postgres
from infra.servers.services import SERVICES
from infra.supervision.platform import Platform
from sluice.errors import SluiceError, TerminalError
from sluice.settings import Settings
from sluice.warehouse.connect import refusal

FATAL = 'connection failed: FATAL:  password authentication failed for user "postgres"'


def test_a_launch_stops_at_once_and_says_that_the_settings_file_is_newer_than_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(Settings(_env_file=None, home=tmp_path), tmp_path / ".env")  # type: ignore[call-arg]
    rejecting = replace(SERVICES["postgres"], check_health=lambda _: postgres.LOGIN_REJECTED)
    monkeypatch.setattr(platform.supervisor, "state", lambda _: {"statename": "RUNNING", "spawnerr": ""})
    monkeypatch.setattr(platform.supervisor, "start", lambda _: None)
    step: Step = platform.service_step(rejecting, ())
    with pytest.raises(SluiceError, match=r"rejects the administrator's password\. Hint: .*restore the settings file"):
        step.run(NeverSet())  # type: ignore[arg-type]


def test_in_containers_the_login_of_provisioning_says_the_same() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    error = refusal(settings, "postgres", Exception(FATAL))
    assert isinstance(error, TerminalError)
    assert "restore the settings file of that time" in error.hint
    assert "make up" in refusal(settings, "reader", Exception(FATAL)).hint


class NeverSet:
    """An event that is never set; waiting for it is an error of the test."""

    def wait(self, _: float) -> bool:
        raise AssertionError("the launch waits")
