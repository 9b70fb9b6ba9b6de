"""Kafka's start: on a disk that is almost full it waits, because it would lose its topics."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.servers import kafka
from sluice.errors import SluiceError
from sluice.settings import Settings

FORMATTED = "meta.properties"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a Kafka whose storage is formatted."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (data / FORMATTED).touch()
    return Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]


def test_kafka_does_not_start_on_a_full_disk_and_starts_once_there_is_space(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = settings.home / "kafka" / "server.properties"
    for free in (0, (kafka.MIN_FREE_MIB << 20) - 1):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with pytest.raises(SluiceError, match=f"has {free >> 20} MiB left, and Kafka loses records"):
            kafka.prepare(settings)
        assert not properties.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=kafka.MIN_FREE_MIB << 20))
    kafka.prepare(settings)
    assert properties.exists()
