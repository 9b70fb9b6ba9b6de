"""The learner's files: what counts as an answer, and when a change is complete."""

from pathlib import Path

from exercises.answers import digests, wait_for_change


def test_what_editors_and_python_leave_behind_is_not_an_answer(tmp_path: Path) -> None:
    for name in ("answer.sql", "models/a.sql", ".answer.sql.swp", "answer.sql~", "__pycache__/a.pyc", ".git/config"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "gone").symlink_to("nowhere")
    assert digests(tmp_path).keys() == {"answer.sql", "models/a.sql"}
    assert digests(tmp_path / "missing") == {}


def test_a_half_saved_file_is_not_a_change_yet(tmp_path: Path) -> None:
    file = tmp_path / "answer.sql"
    file.write_text("old")
    # As slowly as no editor: between two looks at the folder, a part of the file.
    parts = iter(["old", "", "s", "se", "select", "select"])
    wait_for_change(tmp_path, digests(tmp_path), pause=lambda _: file.write_text(next(parts)))
    assert file.read_text() == "select"
    assert list(parts) == []


def test_a_deleted_folder_is_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "answer.sql").touch()
    seen = digests(folder)
    (folder / "answer.sql").unlink()
    folder.rmdir()
    wait_for_change(folder, seen)
