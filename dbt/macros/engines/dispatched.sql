{#-
    What Postgres and Spark write differently. Models call these macros, and dbt chooses the engine's version: a model is
    the same for both. On Spark, times are instants too, and a session's time zone is UTC.
-#}

{#- The UTC date of a timestamp column. The expression is immutable, so it can be indexed. -#}
{%- macro utc_date(column) -%}{{ return(adapter.dispatch('utc_date')(column)) }}{%- endmacro -%}

{#- The beginning of the UTC hour of a timestamp column. -#}
{%- macro utc_hour(column) -%}{{ return(adapter.dispatch('utc_hour')(column)) }}{%- endmacro -%}

{#- The date of a timestamp column in a time zone. -#}
{%- macro local_date(column, zone) -%}{{ return(adapter.dispatch('local_date')(column, zone)) }}{%- endmacro -%}

{#- A number as a floating-point number of 64 bits. -#}
{%- macro double(expression) -%}{{ return(adapter.dispatch('double')(expression)) }}{%- endmacro -%}

{#- A null of the type of timestamps. -#}
{%- macro no_time() -%}{{ return(adapter.dispatch('no_time')()) }}{%- endmacro -%}

{#-
    A query for one row per value of the `keys`: the first one in the `order`, both lists of expressions. `where`: a
    condition on the rows that take part.
-#}
{%- macro first_rows(relation, keys, order, where='true') -%}
    {{ return(adapter.dispatch('first_rows')(relation, keys, order, where)) }}
{%- endmacro -%}

{#- A query for the distinct values of a column, as `code`. Nulls are left out. `relation`: has an index on the column. -#}
{%- macro distinct_codes(relation, column) -%}
    {{ return(adapter.dispatch('distinct_codes')(relation, column)) }}
{%- endmacro -%}

{#- The words between the name of a common table expression and its query that have it planned as part of the whole. -#}
{%- macro as_part_of_the_query() -%}{{ return(adapter.dispatch('as_part_of_the_query')()) }}{%- endmacro -%}

{#- The statement that counts a table's values, for the planner. -#}
{%- macro analyze_table(relation) -%}{{ return(adapter.dispatch('analyze_table')(relation)) }}{%- endmacro -%}

{#- How the list of what a run rebuilds is materialized. -#}
{%- macro work_list() -%}{{ return(adapter.dispatch('work_list')()) }}{%- endmacro -%}
