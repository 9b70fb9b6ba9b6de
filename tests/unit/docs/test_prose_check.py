"""The prose check reports every retired phrase with its replacement, and accepts good English."""

import subprocess
from pathlib import Path

import pytest

from sluice.settings import ROOT

CHECK = ROOT / "infra" / "prose" / "check"
RETIRED = [line.split("->") for line in (ROOT / "infra" / "prose" / "retired.txt").read_text().splitlines()]


def check(path: Path, text: str) -> "subprocess.CompletedProcess[str]":
    path.write_text(text)
    return subprocess.run([CHECK, path], capture_output=True, text=True, check=False)


def test_every_retired_phrase_is_reported_with_file_line_and_replacement(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    result = check(page, "".join(f"At once, the {old} is read.\n" for old, _ in RETIRED))
    assert result.returncode != 0
    reports = result.stdout.splitlines()
    assert len(reports) == len(RETIRED)
    for number, (report, (old, new)) in enumerate(zip(reports, RETIRED, strict=True), start=1):
        # A list of replacements ends in a comma.
        expected = f"{page}:{number}: {old} ==> {new.removesuffix(',')}"
        assert report.lower() == expected.lower()


@pytest.mark.parametrize("spelled", [str.capitalize, str.upper])
def test_a_phrase_is_found_at_the_start_of_a_sentence_and_in_a_hidden_file(tmp_path: Path, spelled) -> None:
    old, new = next(entry for entry in RETIRED if " " in entry[0])
    result = check(tmp_path / ".hidden.yml", f"# {spelled(old)}.\n")
    assert result.returncode != 0
    assert f".hidden.yml:1: {spelled(old)} ==>" in result.stdout
    assert new.lower() in result.stdout.lower()


def test_a_misspelling_is_reported(tmp_path: Path) -> None:
    result = check(tmp_path / "page.md", "The sink " + "rec" + "ieves records.\n")
    assert result.returncode != 0
    assert "==> receives" in result.stdout


def test_good_english_passes(tmp_path: Path) -> None:
    text = """\
The sink resumes at the last committed offset, so that no record is lost or duplicated.
There is no date before 2013-01-01, and there is no number that the load cannot parse.
It recommends a new partition key: `insert into ops.stale_dates` records a stale date.
Commands are mounted at /opt/sluice/cli. The wait is doubled after each failure.
"""
    result = check(tmp_path / "page.md", text)
    assert (result.returncode, result.stdout) == (0, "")


def test_entries_are_sorted_and_unique() -> None:
    phrases = [old for old, _ in RETIRED]
    assert phrases == sorted(set(phrases))
    assert all(old == old.lower().strip() for old in phrases)
