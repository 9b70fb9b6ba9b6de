"""Parses JSON so that the text of each number is kept: nothing is known of a decimal once it has been a float."""

import json
from typing import Any


class Integer(str):
    """The text of a JSON number without a fraction or an exponent."""

    __slots__ = ()


class Fraction(str):
    """The text of a JSON number with a fraction or an exponent."""

    __slots__ = ()


def parse_json(text: str | bytes) -> Any:
    """Returns the value of a JSON document, with ``Integer`` and ``Fraction`` as its numbers.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(text, parse_int=Integer, parse_float=Fraction, parse_constant=_reject)


def _reject(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
