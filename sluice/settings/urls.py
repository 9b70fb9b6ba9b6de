"""URLs that contain a password, made in one place: any character may be in it."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode


def url(
    scheme: str, user: str, password: str, address: str, path: str, parameters: Mapping[str, str] | None = None
) -> str:
    """Returns a URL with a user and a password, both quoted. It contains the password: never print it.

    Args:
        scheme: what comes before ``://``.
        user: may be empty.
        password: as it is, not quoted.
        address: ``host:port``.
        path: the name of a database; quoted, without a leading slash.
        parameters: what comes after ``?``.
    """
    base = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{address}/{quote(path, safe='')}"
    return f"{base}?{urlencode(parameters, quote_via=quote)}" if parameters else base
