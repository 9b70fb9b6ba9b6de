"""A disk that is nearly full is a problem until there is space again."""

from pathlib import Path

import pytest

from sluice.alerts import disk
from sluice.settings import Settings


def test_a_disk_that_is_nearly_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    assert disk.low_disk(settings) == {}
    monkeypatch.setattr(disk, "MIN_FREE_BYTES", 1 << 60)
    (message,) = disk.low_disk(settings).values()
    assert message.startswith("less than 1073741824 GiB free; ")
    assert list(disk.low_disk(settings)) == [str(tmp_path)]
