"""A disk that is nearly full is a problem until there is space again."""

from pathlib import Path

import pytest

from sluice.alerts import disk
from sluice.settings import Settings


def test_a_disk_that_is_nearly_full_is_named_until_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    with monkeypatch.context() as full:
        full.setattr(disk, "MIN_FREE_BYTES", 1 << 60)
        ((folder, message),) = disk.low_disk(settings).items()
    assert folder == str(tmp_path)
    assert message.startswith("less than 1073741824 GiB free; ")
    assert disk.low_disk(settings) == {}
