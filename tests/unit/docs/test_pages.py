"""Links, commands, settings and form of the documentation's pages."""

import re
from pathlib import Path

import pytest

from sluice.settings import ROOT, Settings, variable
from tests.fixtures.blocks import PAGES as RUN_PAGES
from tests.unit.docs.markdown import PAGES, anchor, headings, links, name, prose, table_rows

LINKED = (*PAGES, ROOT / "dbt" / "README.md", ROOT / "infra" / "kubernetes" / "README.md")
COLUMNS = 100
WORDS = 5


@pytest.mark.parametrize("page", LINKED, ids=name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and fragment not in map(anchor, headings(file))):
            broken.append(target)
    assert broken == []


def test_the_site_lists_every_page() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if ROOT / "docs" in page.parents}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    quoted = re.findall(r"(?:`|^(?:[$>] )?)make ([a-z][a-z0-9-]*)", page.read_text(), re.MULTILINE)
    assert set(quoted) - targets == set()


def test_the_settings_page_lists_every_setting() -> None:
    page = ROOT / "docs" / "reference" / "settings.md"
    rows = [row for heading in headings(page)[1:] for row in table_rows(page, heading)]
    assert {row[0].strip("`") for row in rows} == {variable(field) for field in Settings.model_fields}
    for row_name, default, *_ in rows:
        value = Settings.model_fields[row_name.strip("`").removeprefix("SLUICE_").lower()].default
        if isinstance(value, int | float):
            assert float(default) == value, row_name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_only_pages_that_are_run_have_blocks_that_look_run(page: Path) -> None:
    runnable = re.findall(r"^```(?:sh|console)$", page.read_text(), re.MULTILINE)
    assert not runnable or name(page) in RUN_PAGES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_prose_is_wrapped_and_headings_are_short(page: Path) -> None:
    # A table's row cannot be wrapped.
    lines = [line for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > COLUMNS] == []
    titles = [re.sub(r"^\d+\. ", "", heading) for heading in headings(page)]
    assert [title for title in titles if len(title.split()) > WORDS] == []
