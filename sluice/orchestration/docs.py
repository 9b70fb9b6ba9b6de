"""The documentation of DAGs in Airflow's UI: Markdown with links to the platform's other pages."""

from dataclasses import asdict

from sluice.contracts import Column, Contract
from sluice.settings import Settings

_ON_FAILURE = (
    "the last line of the task's log states the cause and a hint. Transient errors have already been retried several"
    " times: `make status` shows which server is down, `make logs S=<service>` why. Fix the cause, then clear the task"
)


def render(text: str, settings: Settings, **values: str) -> str:
    """Returns a text with its placeholders filled: the platform's URLs, what to do on failure, and ``values``.

    Args:
        text: with placeholders such as ``{dashboard}``, ``{lake}``, ``{dbt}``, ``{airflow}`` and ``{on_failure}``.
        settings: the platform's.
        values: the text's other placeholders.
    """
    return text.format(**asdict(settings.pages), on_failure=_ON_FAILURE, **values)


def column_table(contract: Contract) -> str:
    """Returns the columns of a stream's events as a Markdown table."""
    rows = [
        ("column", "type", "required", "limits", "description"),
        ("---",) * 5,
        *(
            (
                f"`{column.name}`",
                column.type,
                "" if column.nullable else "yes",
                _limits(column),
                _description(column),
            )
            for column in contract.columns
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _limits(column: Column) -> str:
    low = "" if column.minimum is None else f"{column.minimum:,g}"
    high = "" if column.maximum is None else f"{column.maximum:,g}"
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _description(column: Column) -> str:
    unit = f" Unit: {column.unit}." if column.unit else ""
    return f"{column.description}{unit}".replace("|", "\\|").replace("\n", " ")
