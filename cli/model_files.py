"""The dbt files of a new stream and of a new mart, as texts."""

from collections.abc import Iterator

from sluice.contracts import Contract
from sluice.contracts.strict_yaml import scalar

_METADATA = ("_event_date", "_topic_id", "_partition", "_offset")


def staging_model(contract: Contract) -> dict[str, str]:
    """Returns the files of a stream's staging model, by name."""
    name = f"stg_{contract.table}"
    return {f"{name}.sql": _staging_sql(contract), f"{name}.yml": _staging_yml(name, contract)}


def mart(name: str, contract: Contract, plain: bool) -> dict[str, str]:
    """Returns the files of a mart that counts a stream's events per date, by name.

    Args:
        name: the mart's name.
        contract: the stream's.
        plain: whether every run rebuilds the whole mart, rather than the dates whose events have changed.
    """
    return {f"{name}.sql": _mart_sql(contract, plain), f"{name}.yml": _mart_yml(name, contract, plain)}


def rebuild_key(contract: Contract) -> tuple[str, str]:
    """Returns the name and the text of the file that declares the key by which a stream's marts are rebuilt."""
    key = _key(contract)
    text = f"""{{#- The event dates of {contract.stream} whose events have changed, for `config(rebuild='{key}')`. -#}}
{{%- macro rebuild_by_{key}(node, column) -%}}
    {{{{ has_stale_date('{contract.table}', column or 'event_date') }}}}
{{%- endmacro -%}}
"""
    return f"rebuild_by_{key}.sql", text


def _key(contract: Contract) -> str:
    return f"{contract.table}_date"


def _staging_sql(contract: Contract) -> str:
    columns = "".join(f"            '{column.name}',\n" for column in contract.columns)
    return f"""{{{{
    config(indexes=[{{'columns': ['_event_date']}}])
}}}}

{{{{
    stage_events(
        '{contract.table}',
        [
{columns}        ],
    )
}}}}
"""


def _staging_yml(name: str, contract: Contract) -> str:
    table = contract.table
    grain = "one row per record"
    if contract.id_columns:
        kept = {"first": "of a resent event, the row with the lowest offset", "last": "the row with the highest offset"}
        grain = f"one row per event; {kept[contract.keep]}"
    lines = [
        "version: 2",
        "",
        "models:",
        f"  - name: {name}",
        f"    description: \"{{{{ doc('{table}') }}}} Grain: {grain}.\"",
        "    columns:",
    ]
    for column in (*(column.name for column in contract.columns), *_METADATA):
        lines += [f"      - name: {scalar(column)}", f"        description: \"{{{{ doc('{table}__{column}') }}}}\""]
    lines += [
        "    data_tests:",
        "      - one_row_per_event:",
        "          arguments:",
        f"            table: {table}",
    ]
    return "\n".join(lines) + "\n"


def _mart_sql(contract: Contract, plain: bool) -> str:
    source = f"{{{{ ref('stg_{contract.table}') }}}}"
    index = "[{'columns': ['event_date'], 'unique': true}]"
    if plain:
        config, where = f"{{{{ config(materialized='table', indexes={index}) }}}}", ""
    else:
        config = f"""{{{{
    config(
        materialized='by_key',
        rebuild='{_key(contract)}',
        indexes={index},
    )
}}}}"""
        where = "\n    where {{ is_stale('_event_date') }}"
    return f"""{config}

with events as (
    select * from {source}{where}
),

final as (
    select
        _event_date as event_date,
        count(*) as event_count
    from events
    group by _event_date
)

select * from final
"""  # noqa: S608 - a template; the table's name matches the contract's pattern


def _mart_yml(name: str, contract: Contract, plain: bool) -> str:
    return "\n".join(_mart_yml_lines(name, contract, plain)) + "\n"


def _mart_yml_lines(name: str, contract: Contract, plain: bool) -> Iterator[str]:
    yield f"""version: 2

models:
  - name: {scalar(name)}
    description: >-
      Events of `{contract.stream}` per date. Grain: one row per event date, UTC.
    columns:
      - name: event_date
        description: "{{{{ doc('{contract.table}___event_date') }}}}"
        data_tests: [unique, not_null]
      - name: event_count
        description: Number of events.

unit_tests:
  - name: {name}_counts_events_per_date
    description: A date with events has one row.
    model: {scalar(name)}"""
    if not plain:
        yield """    overrides:
      macros:
        rebuilds_part: false"""
    yield f"""    given:
      - input: ref('stg_{contract.table}')
        rows:
          - {{_event_date: 2013-01-01}}
          - {{_event_date: 2013-01-01}}
          - {{_event_date: 2013-01-02}}
    expect:
      rows:
        - {{event_date: 2013-01-01, event_count: 2}}
        - {{event_date: 2013-01-02, event_count: 1}}"""
