{#-
    What YAML cannot hold: `__touched_flights__` and its like stand for a predicate on the rows of a table that a run has
    rebuilt. Any other text stands for itself.
-#}
{%- macro rebuilt_rows(name, table) -%}
    {%- if name == '__touched_events__' -%}
        {{ touched(table) }}
    {%- elif name == '__touched_flights__' -%}
        {{ of_touched_flights(built) }}
    {%- elif name == '__touched_flight_dates__' -%}
        {{ on_touched_flight_dates(built) }}
    {%- elif name == '__touched_hours__' -%}
        {{ in_touched_hours('hour', built) }}
    {%- else -%}
        {{ name }}
    {%- endif -%}
{%- endmacro -%}

{#- Limits a test to the rows of its `where`. dbt calls this macro for each test. -#}
{%- macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ rebuilt_rows(where, relation.identifier) }}) as rebuilt_rows
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro -%}
