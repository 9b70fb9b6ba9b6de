"""A dbt project as one value."""

from pathlib import Path

from sluice.transform.archive import differing_files, pack, project_files, unpack


def make_project(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_an_unpacked_project_has_the_same_files(tmp_path: Path) -> None:
    project = make_project(tmp_path / "dbt", models__a="select 1", models__marts__b="select 2", target__c="x")
    make_project(tmp_path / "copy", models__old="select 0")
    unpack(pack(project), tmp_path / "copy")
    assert [str(path.relative_to(tmp_path / "copy")) for path in project_files(tmp_path / "copy")] == [
        "models/a",
        "models/marts/b",
    ]
    assert differing_files(project, tmp_path / "copy") == []


def test_changed_new_and_removed_files_differ(tmp_path: Path) -> None:
    one = make_project(tmp_path / "one", models__a="select 1", models__b="select 2", models__c="select 3")
    other = make_project(tmp_path / "other", models__a="select 1", models__b="select 4", models__d="select 5")
    assert differing_files(one, other) == ["models/b", "models/c", "models/d"]
