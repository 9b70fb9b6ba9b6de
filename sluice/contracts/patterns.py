"""Regular expressions of contracts, in RE2's syntax: matching takes a time that is linear in the text.

Python's own engine needs exponential time for patterns such as ``(a+)+b``: 24 letters take a second, and each further
one doubles that (decision 24). RE2 knows no backreference and no lookaround, and its ``\\d`` and ``\\w`` are those of
ASCII.
"""

import re
from functools import lru_cache
from typing import Any


def check_pattern(pattern: str) -> str:
    """Returns the pattern.

    Raises:
        ValueError: it is not a regular expression of RE2.
    """
    try:
        # It is placed within a group, which an unmatched parenthesis could leave. RE2 takes `{99999}` for a text.
        re.compile(pattern)
        matches(pattern, "")
    except (re.error, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return pattern


def whole(pattern: str) -> str:
    """Returns the expression that RE2 finds in a text if the pattern matches the whole text."""
    return rf"\A(?:{pattern})\z"


def matches(pattern: str, text: str) -> bool:
    """Returns whether a pattern matches a whole text. Takes about 25 µs; ``sluice.load`` matches whole columns at once.

    Raises:
        re.error: RE2 does not know the syntax.
    """
    pyarrow, options = _options(pattern)
    try:
        found: bool = pyarrow.compute.call_function("match_substring_regex", [pyarrow.scalar(text)], options).as_py()
    except pyarrow.ArrowInvalid as error:
        raise re.error(str(error).removeprefix("Invalid regular expression: ")) from None
    return found


@lru_cache(maxsize=256)
def _options(pattern: str) -> tuple[Any, Any]:
    # Imported here because few contracts have patterns, and Airflow parses DAG files without it.
    import pyarrow
    import pyarrow.compute

    return pyarrow, pyarrow.compute.MatchSubstringOptions(whole(pattern))
