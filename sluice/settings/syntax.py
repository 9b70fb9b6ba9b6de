"""Reads a settings file: lines `NAME=value`, with the meaning that they have for Docker Compose and for a shell.

A value in single quotes is taken as it is. In any other, `${NAME}` and `${NAME:-default}` stand for a variable.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from sluice.errors import TerminalError

QUOTE = "put the value in single quotes"


@dataclass(frozen=True)
class Entry:
    """A value, the number of its line, and whether it contains a dollar sign outside single quotes."""

    value: str
    line: int
    has_dollar: bool


def parse(content: bytes, file: object) -> dict[str, Entry]:
    """Returns the entries by name. Of several lines with one name the last counts.

    Args:
        content: of the file: UTF-8, with or without a byte order mark, with line ends of Unix or Windows.
        file: named in errors.

    Raises:
        TerminalError: a line is not an assignment, or uses a variable that has no value; the message has its number.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TerminalError(f"{file}, line {line}: not UTF-8", "save the file as UTF-8") from None
    entries: dict[str, Entry] = {}
    # python-dotenv counts lines from the end of the previous entry: blank lines and comments before this one are in it.
    for binding in parse_stream(io.StringIO(text, newline=None)):
        source = binding.original.string
        line = binding.original.line + len(source) - len(source.lstrip("\n"))
        if binding.key is not None and binding.value is not None and "\0" not in source and not binding.error:
            entries[binding.key] = _entry(binding, line, entries, file)
        elif binding.key is not None or binding.error:
            message = f"{file}, line {line}: not complete: a line is NAME=value, and a quoted value ends with its quote"
            raise TerminalError(message, "correct or remove the line; the file may have been saved in part")
    return entries


def _entry(binding: Binding, line: int, earlier: Mapping[str, Entry], file: object) -> Entry:
    value, written = binding.value or "", binding.original.string.partition("=")[2].strip()
    if written.startswith("'"):
        # As Compose does: only a quote is escaped, so that a backslash is one everywhere.
        return Entry(written[1 : written.rindex("'")].replace("\\'", "'"), line, has_dollar=False)
    known = dict(os.environ) | {name: entry.value for name, entry in earlier.items()}
    for part in parse_variables(value):
        if isinstance(part, Variable) and part.default is None and part.name not in known:
            raise TerminalError(f"{file}, line {line}: the variable {part.name} has no value", f"set it, or {QUOTE}")
    return Entry("".join(part.resolve(known) for part in parse_variables(value)), line, has_dollar="$" in value)
