{#-
    Tests limited to what was touched: `where: __touched_flights__` and its like stand for a predicate that YAML cannot
    hold. dbt calls this macro for each test.
-#}
{%- macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if where == '__touched_events__' -%}
        {%- set where = touched(relation.identifier) -%}
    {%- elif where == '__touched_flights__' -%}
        {%- set where = of_touched_flights(built) -%}
    {%- elif where == '__touched_flight_dates__' -%}
        {%- set where = on_touched_flight_dates(built) -%}
    {%- elif where == '__touched_hours__' -%}
        {%- set where = in_touched_hours('hour', built) -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as touched_rows
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro -%}
