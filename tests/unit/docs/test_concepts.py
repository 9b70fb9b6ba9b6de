"""The pages about concepts: what each of them has, and that a reader finds them."""

import re
from pathlib import Path

import pytest

from sluice.settings import ROOT
from tests.fixtures.blocks import blocks
from tests.unit.docs.markdown import headings, links, name

FOLDER = ROOT / "docs" / "concepts"
CONCEPTS = sorted(FOLDER.glob("*.md"))
PICTURES = sorted(FOLDER.glob("pictures/*.svg"))
EXERCISES = sorted((ROOT / "exercises").glob("[0-9][0-9]-*/README.md"))
SVG = "http://www.w3.org/2000/svg"
SECTIONS = ["In Sluice", "Try it", "Common mistakes", "Exercises"]
ALT_WORDS = 8


@pytest.mark.parametrize("page", CONCEPTS, ids=name)
def test_a_page_is_one_screen_with_the_same_sections(page: Path) -> None:
    assert headings(page)[1:] == SECTIONS
    assert 35 <= len(page.read_text().splitlines()) <= 60


@pytest.mark.parametrize("page", CONCEPTS, ids=name)
def test_a_page_has_its_picture_with_a_text_for_those_who_do_not_see_it(page: Path) -> None:
    ((text, target),) = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
    assert target == f"pictures/{page.stem}.svg"
    assert len(text.split()) >= ALT_WORDS


@pytest.mark.parametrize("page", CONCEPTS, ids=name)
def test_a_page_has_an_experiment_of_few_commands(page: Path) -> None:
    commands = [command for block in blocks(name(page), page.read_text()) for command in block.commands]
    assert 2 <= len(commands) <= 5


@pytest.mark.parametrize("page", CONCEPTS, ids=name)
def test_a_page_is_linked_from_glossary_tutorial_and_an_exercise_and_leads_to_the_exercises(page: Path) -> None:
    for other in ("glossary.md", "tutorial.md"):
        assert f"concepts/{page.name}" in links(ROOT / "docs" / other)
    listed = {(FOLDER / target).resolve() for target in links(page) if target.startswith("../../exercises/")}
    assert listed
    leading = {exercise for exercise in EXERCISES if f"../../docs/concepts/{page.name}" in links(exercise)}
    assert leading
    assert leading <= listed


def test_every_picture_is_on_a_page() -> None:
    assert {picture.stem for picture in PICTURES} == {page.stem for page in CONCEPTS}


@pytest.mark.parametrize("picture", PICTURES, ids=name)
def test_a_picture_names_and_describes_itself_and_needs_nothing_else(picture: Path) -> None:
    text = picture.read_text()
    assert 'role="img" aria-labelledby="title desc"' in text
    assert re.search(r'<title id="title">[^<]+</title>', text)
    assert re.search(r'<desc id="desc">[^<]+</desc>', text)
    assert not re.search(r"https?:|href|<script|<image|@import|@font-face", text.replace(SVG, ""))


def test_pictures_share_one_style_with_colours_for_light_and_dark_pages() -> None:
    (style,) = {picture.read_text().partition("<style>")[2].partition("</style>")[0] for picture in PICTURES}
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    assert set(re.findall(r"#\w{6}", light)).isdisjoint(re.findall(r"#\w{6}", dark))
