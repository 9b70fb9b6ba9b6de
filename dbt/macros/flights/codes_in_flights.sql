{#-
    The distinct values of an indexed column of fct_flights. Each value is found by an index look-up from the previous
    one, so the cost depends on the number of values, not of flights.
-#}
{%- macro codes_in_flights(column) -%}
    with recursive codes as (
        (select {{ column }} as code from {{ ref('fct_flights') }} order by {{ column }} limit 1)
        union all
        select
            (
                select flights.{{ column }}
                from {{ ref('fct_flights') }} as flights
                where flights.{{ column }} > codes.code
                order by flights.{{ column }}
                limit 1
            )
        from codes
        where codes.code is not null
    )

    select code from codes where code is not null
{%- endmacro -%}
