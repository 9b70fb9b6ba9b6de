"""dbt's `adapter`, for sqlfluff: it lints what models are on Postgres."""

from collections.abc import Callable

from jinja2 import pass_context
from jinja2.runtime import Context


def quote(name: str) -> str:
    """Returns a name in quotes."""
    return f'"{name}"'


@pass_context
def dispatch(context: Context, name: str) -> Callable[..., str]:
    """Returns the macro that Postgres has for a name."""
    macro: Callable[..., str] = context[f"postgres__{name}"]
    return macro
