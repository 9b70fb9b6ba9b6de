"""What Airflow's pages say of a DAG: texts in Markdown with links to where the same things can be seen elsewhere."""

from dataclasses import asdict

from sluice.contracts import Column, Contract
from sluice.settings import Settings

_ON_FAILURE = (
    "the last line of the task's log says what is wrong and how to mend it. What may pass by itself was tried again"
    " several times before: `make status` shows which server is away, `make logs S=<service>` why. Then clear the task"
)


def render(text: str, settings: Settings, **values: str) -> str:
    """A text with its gaps filled: ``values``, the platform's addresses for a browser, and what every failure asks for.

    Args:
        text: with gaps as ``{dashboard}``, ``{lake}``, ``{dbt}``, ``{airflow}`` and ``{on_failure}``.
        settings: of this platform.
        values: fills of the text's other gaps.
    """
    return text.format(**asdict(settings.pages), on_failure=_ON_FAILURE, **values)


def columns(contract: Contract) -> str:
    """The columns of a stream's events, as a table in Markdown."""
    rows = [
        ("column", "type", "required", "limits", "what it is"),
        ("---",) * 5,
        *(
            (f"`{each.name}`", each.type, "" if each.nullable else "yes", _limits(each), _description(each))
            for each in contract.columns
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _limits(column: Column) -> str:
    low = "" if column.minimum is None else f"{column.minimum:,g}"
    high = "" if column.maximum is None else f"{column.maximum:,g}"
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else f"at most {high}" if high else ""


def _description(column: Column) -> str:
    unit = f" Unit: {column.unit}." if column.unit else ""
    return f"{column.description}{unit}".replace("|", "\\|").replace("\n", " ")
