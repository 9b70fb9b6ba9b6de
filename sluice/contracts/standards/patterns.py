"""Regular expressions: a contract's matches the whole text, those of the standards match anywhere in it."""

import re

from sluice.contracts.patterns import check_pattern

_WHOLE = re.compile(r"\^\(\?:(.*)\)\$", re.DOTALL)


def to_search(pattern: str) -> str:
    """Returns the pattern that is found in a text if the given one matches the whole text."""
    return f"^(?:{pattern})$"


def to_whole(pattern: str) -> str | None:
    """Returns the pattern that matches a whole text if the given one is found in it.

    None if it is not one that a contract may have: the standards' are those of JavaScript, which differ in details.
    """
    match = _WHOLE.fullmatch(pattern)
    whole = match[1] if match and _is_pattern(match[1]) else f"(?s:.*)(?:{pattern})(?s:.*)"
    return whole if _is_pattern(whole) else None


def _is_pattern(text: str) -> bool:
    try:
        check_pattern(text)
    except ValueError:
        return False
    return True
