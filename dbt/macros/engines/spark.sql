{%- macro spark__utc_date(column) -%}
    cast({{ column }} as date)
{%- endmacro -%}

{%- macro spark__utc_hour(column) -%}
    date_trunc('hour', {{ column }})
{%- endmacro -%}

{%- macro spark__local_date(column, zone) -%}
    cast(from_utc_timestamp({{ column }}, '{{ zone }}') as date)
{%- endmacro -%}

{%- macro spark__double(expression) -%}
    cast({{ expression }} as double)
{%- endmacro -%}

{%- macro spark__no_time() -%}
    cast(null as timestamp)
{%- endmacro -%}

{%- macro spark__first_rows(relation, keys, order, where) -%}
    select * except (_place)
    from (
        select
            *,
            row_number() over (partition by {{ keys | join(', ') }} order by {{ order | join(', ') }}) as _place
        from {{ relation }}
        where {{ where }}
    )
    where _place = 1
{%- endmacro -%}

{%- macro spark__distinct_codes(relation, column) -%}
    select distinct {{ column }} as code from {{ relation }}
    where {{ column }} is not null
{%- endmacro -%}

{%- macro spark__as_part_of_the_query() -%}
    as
{%- endmacro -%}

{%- macro spark__analyze_table(relation) -%}{%- endmacro -%}

{%- macro spark__work_list() -%}
    empty_table
{%- endmacro -%}
