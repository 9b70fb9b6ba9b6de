{%- macro postgres__utc_date(column) -%}
    cast({{ column }} at time zone 'UTC' as date)
{%- endmacro -%}

{%- macro postgres__utc_hour(column) -%}
    date_trunc('hour', {{ column }}, 'UTC')
{%- endmacro -%}

{%- macro postgres__local_date(column, zone) -%}
    cast({{ column }} at time zone '{{ zone }}' as date)
{%- endmacro -%}

{%- macro postgres__double(expression) -%}
    cast({{ expression }} as double precision)
{%- endmacro -%}

{%- macro postgres__no_time() -%}
    cast(null as timestamptz)
{%- endmacro -%}

{%- macro postgres__first_rows(relation, keys, order, where) -%}
    select distinct on ({{ keys | join(', ') }}) *
    from {{ relation }}
    where {{ where }}
    order by {{ (keys + order) | join(', ') }}
{%- endmacro -%}

{#-
    Each value is found by an index look-up from the previous one, so the cost depends on the number of values, not of
    rows.
-#}
{%- macro postgres__distinct_codes(relation, column) -%}
    with recursive codes as (
        (select {{ column }} as code from {{ relation }} order by {{ column }} limit 1)
        union all
        select
            (
                select following.{{ column }}
                from {{ relation }} as following
                where following.{{ column }} > codes.code
                order by following.{{ column }}
                limit 1
            )
        from codes
        where codes.code is not null
    )

    select code from codes where code is not null
{%- endmacro -%}

{%- macro postgres__as_part_of_the_query() -%}
    as not materialized
{%- endmacro -%}

{%- macro postgres__analyze_table(relation) -%}
    analyze {{ relation }}
{%- endmacro -%}

{%- macro postgres__work_list() -%}
    incremental
{%- endmacro -%}
