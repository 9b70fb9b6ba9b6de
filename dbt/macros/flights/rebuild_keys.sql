{#-
    The keys of the flights' marts, for `config(rebuild=…)`. Each macro returns the predicate on the rows to rebuild.
    `column` is the expression for the key in the table that is read; the default is the mart's own column.
-#}

{#- The flights to rebuild: those with an event on a stale date, now or before the rebuild. -#}
{%- macro rebuild_by_flight_id(node=none, column=none) -%}
    {{ column or 'flight_id' }} in (select todo.flight_id from {{ built('int_flights_to_rebuild') }} as todo)
{%- endmacro -%}

{#-
    The New York dates of these flights, before and after the rebuild. Postgres assumes that an array has few values, and
    uses the index; for a subquery it assumes many, and reads the whole table.
-#}
{%- macro rebuild_by_flight_date(node, column) -%}
    {{ column or 'flight_date' }} = any(array({{ values_of_stale_flights('flight_date') }}))
{%- endmacro -%}

{#- The UTC dates of these flights' scheduled departures, and the stale dates of the weather. -#}
{%- macro rebuild_by_hour(node, column) -%}
    {{ utc_date(column or 'hour') }} = any(
        array({{ values_of_stale_flights(utc_date('scheduled_at')) }})
        || cast(array[{{ stale_dates('weather_observed') }}] as date [])
    )
{%- endmacro -%}

{#- The values of an expression for the flights to rebuild, before and after the rebuild. -#}
{%- macro values_of_stale_flights(expression) -%}
    select {{ expression }} from {{ built('int_flights_to_rebuild') }}
    where scheduled_at is not null
    union
    select {{ expression }} from {{ built('fct_flights') }}
    where {{ rebuild_by_flight_id() }}
{%- endmacro -%}
