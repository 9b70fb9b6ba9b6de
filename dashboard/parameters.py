"""Query parameters of a page's URL. Invalid ones are ignored, with a notice for the visitor."""

from collections.abc import Mapping
from datetime import date

from sluice.escaping import shorten

_MAX_SHOWN = 60
"""Characters of a parameter that a notice quotes."""


def date_parameter(parameters: Mapping[str, str], name: str, notices: list[str]) -> date | None:
    """Returns a parameter as a date, or None if it is missing or invalid.

    Args:
        parameters: the URL's query parameters.
        name: of the parameter.
        notices: gains a sentence if the value is not a date.
    """
    text = parameters.get(name, "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        notices.append(f"{name}: {_quote(text)} is not a date such as 2013-01-31")
        return None


def choice_parameter(parameters: Mapping[str, str], name: str, choices: set[str], notices: list[str]) -> str | None:
    """Returns a parameter if it is one of the choices, or None if it is missing or unknown.

    Args:
        parameters: the URL's query parameters.
        name: of the parameter.
        choices: the valid values.
        notices: gains a sentence if the value is not one of the choices.
    """
    text = parameters.get(name, "").strip()
    if not text:
        return None
    if text not in choices:
        notices.append(f"{name}: {_quote(text)} does not exist")
        return None
    return text


def _quote(text: str) -> str:
    return repr(shorten(text, _MAX_SHOWN))
