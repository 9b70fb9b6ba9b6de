"""The command blocks of a page in Markdown, and whether what a command printed is what its page shows.

A block ``sh`` is a script that has to succeed. A block ``console`` holds commands after ``$ `` (a command's further
lines after ``> ``), each with its output below it. One in whose output stands make's ``make: ***`` has to fail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

ANY = "…"
"""In an output: anything that stands here; alone on a line: any lines."""
FIGURES = "<!-- figures of one run -->"
"""Stands before a block whose outputs hold figures that no two runs share: any number will do."""
OUTPUT = "<!-- output of one run -->"
"""Stands before a block whose outputs no two runs share: that the commands succeed is what is asked."""

_DURATION = re.compile(r"\d[\d.,]*(?=(?: s| ms| min|/s)\b)")
"""No two runs share these anywhere."""
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Command:
    """What is typed, and what the page shows below it; ``shown`` is None where it shows nothing."""

    text: str
    shown: str | None

    @property
    def fails(self) -> bool:
        """Whether the page shows it failing."""
        return self.shown is not None and "make: ***" in self.shown


@dataclass(frozen=True)
class Block:
    """Commands that are typed one after the other into one shell.

    Args:
        page: the file's path in the repository.
        line: where it begins there, from 1.
        commands: in order.
        mark: what stands before it, ``FIGURES`` or ``OUTPUT``, or else nothing.
    """

    page: str
    line: int
    commands: tuple[Command, ...]
    mark: str


def blocks(page: str, text: str) -> Iterator[Block]:
    """The command blocks of a page, in order.

    Args:
        page: its path, for the tests' names.
        text: in Markdown.
    """
    fence = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for found in fence.finditer(text):
        before = text[: found.start()].rstrip()
        body = found[2]
        commands = (Command(body, None),) if found[1] == "sh" else tuple(_commands(body))
        mark = next((each for each in (FIGURES, OUTPUT) if before.endswith(each)), "")
        yield Block(page, text[: found.start()].count("\n") + 1, commands, mark)


def _commands(body: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        typed, *rest = part.splitlines(keepends=True)
        while rest and rest[0].startswith(">"):
            typed += rest.pop(0)[1:].removeprefix(" ")
        yield Command(typed, "".join(rest))


def is_shown(shown: str, printed: str, mark: str = "") -> bool:
    """Whether a command printed what its page shows; how wide columns are, and how long things took, does not count.

    Args:
        shown: on the page.
        printed: by the command, errors included.
        mark: the block's.
    """
    number = _NUMBER if mark == FIGURES else _DURATION
    pattern = "".join(_pattern(line, number) for line in shown.strip().splitlines())
    return mark == OUTPUT or re.fullmatch(pattern, _lines(printed)) is not None


def _pattern(line: str, number: "re.Pattern[str]") -> str:
    if line.strip() == ANY:
        return r"(?:.*\n)*?"
    words = []
    for word in _squeezed(line).split(ANY):
        pieces = re.split(f"({number.pattern})", word)
        # Every second piece is a number.
        words.append("".join(_NUMBER.pattern if place % 2 else re.escape(each) for place, each in enumerate(pieces)))
    return ".*".join(words) + r"\n"


def _lines(text: str) -> str:
    return "".join(f"{_squeezed(line)}\n" for line in text.strip().splitlines())


def _squeezed(line: str) -> str:
    return re.sub(r"[ \t]+", " ", line).strip()
