{#-
    The distinct values of an indexed column of fct_flights. Each is looked up in the index from the one before, so it
    costs as many look-ups as there are values, however many flights there are.
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
