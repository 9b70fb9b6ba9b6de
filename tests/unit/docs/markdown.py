"""Reads the documentation's pages: their prose without code, their marked figures, their links."""

import re
from collections.abc import Iterator
from pathlib import Path

from sluice.settings import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
"""The pages of the documentation."""

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    """Returns the page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Returns a page's text with its code blocks blanked, so that lines keep their numbers."""
    return _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), page.read_text())


def headings(page: Path) -> list[str]:
    """Returns a page's headings in order."""
    return _HEADING.findall(prose(page))


def links(page: Path) -> Iterator[str]:
    """Yields the targets of a page's links and pictures that are not web addresses."""
    for target in _LINK.findall(prose(page)):
        if "://" not in target:
            yield target


def anchor(heading: str) -> str:
    """Returns the anchor that Git hosts and MkDocs give a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lower())
    return re.sub(r"\s+", "-", words.strip())


def table_rows(page: Path, heading: str) -> list[list[str]]:
    """Returns the cells of the first table below a heading, without its header."""
    _, _, below = page.read_text().partition(f"## {heading}\n")
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]
