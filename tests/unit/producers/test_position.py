from datetime import date
from pathlib import Path

import pytest

from producers.position import Positions
from sluice.errors import TerminalError


def test_there_are_no_positions_at_first(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "home")
    assert positions.replayed_through is None
    assert positions.live_position is None


def test_the_latest_replay_is_kept_beside_the_live_position(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "home")
    positions.save_replayed_through(date(2013, 2, 28))
    positions.save_live_position(date(2013, 3, 1), 5)
    positions.save_replayed_through(date(2013, 1, 31))
    reopened = Positions(tmp_path / "home")
    assert reopened.replayed_through == date(2013, 2, 28)
    assert reopened.live_position == (date(2013, 3, 1), 5)


def test_a_corrupt_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "producer.json").write_text("{")
    with pytest.raises(TerminalError, match=r"producer\.json cannot be read.*delete it"):
        _ = Positions(tmp_path).live_position


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(TerminalError, match="cannot be written"):
        Positions(tmp_path / "home").save_replayed_through(date(2013, 1, 1))
