"""Text of records, contracts and servers, made safe to print: nothing in it can move a cursor or forge a line.

Whatever is not printable becomes a backslash escape: control characters, line breaks, lone surrogates, invisible
characters, and those that reverse the direction of text.
"""

import json
import unicodedata
from typing import Any


def escape(text: str) -> str:
    """Returns a text as one printable line, with escapes such as ``\\n``, ``\\x1b`` and ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        character if _is_printable(character) else character.encode("unicode_escape").decode() for character in text
    )


def escape_bytes(value: bytes) -> str:
    """Returns bytes as one printable line: as UTF-8, with bytes that are not UTF-8 as escapes such as ``\\xff``."""
    return escape(value.decode("utf-8", "backslashreplace"))


def shorten(text: str, limit: int) -> str:
    """Returns the first ``limit`` characters of a text, with a mark if more follow."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def json_line(value: Any) -> str:
    """Returns a value as printable JSON on one line, from which a parser gets the same value back."""
    return escape_json(json.dumps(value, ensure_ascii=False))


def escape_json(text: str) -> str:
    """Returns a JSON document as one printable line of the same meaning."""
    if text.isprintable():
        return text
    # A document has these only between its strings.
    text = text.translate(_WHITESPACE)
    return "".join(character if _is_printable(character) else json.dumps(character)[1:-1] for character in text)


_WHITESPACE = str.maketrans("\t\n\r", "   ")


def _is_printable(character: str) -> bool:
    # Python counts no space but the common one as printable; the others, such as the no-break space, do no harm.
    return character.isprintable() or unicodedata.category(character) == "Zs"
