from datetime import date
from pathlib import Path

import pytest

from producers.position import Positions
from sluice.errors import TerminalError


def test_nothing_noted_yet(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "home")
    assert positions.replayed_through is None
    assert positions.live is None


def test_the_latest_replay_counts_and_both_notes_live_side_by_side(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "home")
    positions.replayed(date(2013, 2, 28))
    positions.save_live_position(date(2013, 3, 1), 5)
    positions.replayed(date(2013, 1, 31))
    again = Positions(tmp_path / "home")
    assert again.replayed_through == date(2013, 2, 28)
    assert again.live == (date(2013, 3, 1), 5)


def test_a_spoiled_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "producer.json").write_text("{")
    with pytest.raises(TerminalError, match=r"producer\.json cannot be read.*delete it"):
        _ = Positions(tmp_path).live


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(TerminalError, match="cannot be written"):
        Positions(tmp_path / "home").replayed(date(2013, 1, 1))
